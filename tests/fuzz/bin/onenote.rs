//! The target `onenote`.

#![no_main]

sekisho_fuzz::program!(onenote);
