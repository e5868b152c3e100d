//! The target `rtf`.

#![no_main]

sekisho_fuzz::program!(rtf);
