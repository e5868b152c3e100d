//! The target `cells`.

#![no_main]

sekisho_fuzz::program!(cells);
