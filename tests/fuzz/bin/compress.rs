//! The target `compress`.

#![no_main]

sekisho_fuzz::program!(compress);
