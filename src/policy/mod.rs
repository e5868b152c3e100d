//! The policy: facts in, one decision per recipient out.

pub mod decision;
pub mod facts;
