//! What several test programs share: builders of documents that are made from nothing.

#![allow(dead_code, reason = "each test program uses its share")]

pub mod office;
pub mod ovba;
