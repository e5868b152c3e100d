//! The target `smuggling`.

#![no_main]

sekisho_fuzz::program!(smuggling);
