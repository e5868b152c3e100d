//! The sevenzget `sevenz`.

#![no_main]

sekisho_fuzz::program!(sevenz);
