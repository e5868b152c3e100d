//! The target `excel4`.

#![no_main]

sekisho_fuzz::program!(excel4);
