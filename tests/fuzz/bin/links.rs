//! The target `links`.

#![no_main]

sekisho_fuzz::program!(links);
