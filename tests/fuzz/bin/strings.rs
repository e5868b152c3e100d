//! The target `strings`.

#![no_main]

sekisho_fuzz::program!(strings);
