//! The target `vba_code`.

#![no_main]

sekisho_fuzz::program!(vba_code);
