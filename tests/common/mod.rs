//! What several test programs share: builders of documents and messages that are made from nothing.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod awkward;
pub mod office;
pub mod ooxml;
pub mod ovba;
pub mod samples;
