//! The target `message`.

#![no_main]

sekisho_fuzz::program!(message);
