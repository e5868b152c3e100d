//! The target `metafile`.

#![no_main]

sekisho_fuzz::program!(metafile);
