//! The target `smtp_wire`.

#![no_main]

sekisho_fuzz::program!(smtp_wire);
