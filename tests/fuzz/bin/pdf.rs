//! The target `pdf`.

#![no_main]

sekisho_fuzz::program!(pdf);
