//! The target `ooxml`.

#![no_main]

sekisho_fuzz::program!(ooxml);
