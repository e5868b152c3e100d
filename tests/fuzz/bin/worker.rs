//! The target `worker`.

#![no_main]

sekisho_fuzz::program!(worker);
