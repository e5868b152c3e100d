//! The target `rar`.

#![no_main]

sekisho_fuzz::program!(rar);
