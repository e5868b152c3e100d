//! The target `arj`.

#![no_main]

sekisho_fuzz::program!(arj);
