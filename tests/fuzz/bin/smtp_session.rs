//! The target `smtp_session`.

#![no_main]

sekisho_fuzz::program!(smtp_session);
