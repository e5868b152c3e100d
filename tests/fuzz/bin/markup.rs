//! The target `markup`.

#![no_main]

sekisho_fuzz::program!(markup);
