//! The target `picture`.

#![no_main]

sekisho_fuzz::program!(picture);
