//! The target `vba_project`.

#![no_main]

sekisho_fuzz::program!(vba_project);
