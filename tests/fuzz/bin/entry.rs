//! The target `entry`.

#![no_main]

sekisho_fuzz::program!(entry);
