//! The target `tar`.

#![no_main]

sekisho_fuzz::program!(tar);
