//! The target `header`.

#![no_main]

sekisho_fuzz::program!(header);
