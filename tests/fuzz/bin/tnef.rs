//! The target `tnef`.

#![no_main]

sekisho_fuzz::program!(tnef);
