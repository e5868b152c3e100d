//! The target `milter_session`.

#![no_main]

sekisho_fuzz::program!(milter_session);
