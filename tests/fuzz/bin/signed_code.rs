//! The target `signed_code`.

#![no_main]

sekisho_fuzz::program!(signed_code);
