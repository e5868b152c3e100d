//! The target `flat`.

#![no_main]

sekisho_fuzz::program!(flat);
