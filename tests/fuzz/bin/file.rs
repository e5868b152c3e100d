//! The target `file`.

#![no_main]

sekisho_fuzz::program!(file);
