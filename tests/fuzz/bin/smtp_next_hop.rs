//! The target `smtp_next_hop`.

#![no_main]

sekisho_fuzz::program!(smtp_next_hop);
