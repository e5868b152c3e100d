//! The target `uu`.

#![no_main]

sekisho_fuzz::program!(uu);
