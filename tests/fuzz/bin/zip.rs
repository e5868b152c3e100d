//! The target `zip`.

#![no_main]

sekisho_fuzz::program!(zip);
