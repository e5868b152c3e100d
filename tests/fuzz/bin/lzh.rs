//! The target `lzh`.

#![no_main]

sekisho_fuzz::program!(lzh);
