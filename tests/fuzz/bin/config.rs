//! The target `config`.

#![no_main]

sekisho_fuzz::program!(config);
