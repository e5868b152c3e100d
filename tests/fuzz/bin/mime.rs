//! The target `mime`.

#![no_main]

sekisho_fuzz::program!(mime);
