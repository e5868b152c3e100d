//! The target `encryption`.

#![no_main]

sekisho_fuzz::program!(encryption);
