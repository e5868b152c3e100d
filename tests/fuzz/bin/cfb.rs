//! The target `cfb`.

#![no_main]

sekisho_fuzz::program!(cfb);
