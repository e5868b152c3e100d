//! The target `milter_codec`.

#![no_main]

sekisho_fuzz::program!(milter_codec);
