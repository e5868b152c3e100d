//! The target `commands`.

#![no_main]

sekisho_fuzz::program!(commands);
