//! Scanning in processes of their own, behind a wall.

pub mod wall;
