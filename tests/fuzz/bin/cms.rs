//! The target `cms`.

#![no_main]

sekisho_fuzz::program!(cms);
