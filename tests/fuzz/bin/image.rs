//! The target `image`.

#![no_main]

sekisho_fuzz::program!(image);
