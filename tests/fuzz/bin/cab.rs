//! The target `cab`.

#![no_main]

sekisho_fuzz::program!(cab);
