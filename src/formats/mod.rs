//! The formats: unpackers and analysers alike, one file each, listed in one table.
//!
//! Every format that accepts a part examines it, on every part at every depth. A format reports
//! and extracts through [`Scan`]; it never fails: a surprise is a finding, and reading goes on.

use crate::part::Part;
use crate::scan::Scan;

pub mod actions;
pub mod activemime;
pub mod activex;
pub mod arj;
pub mod bare;
pub mod biff12;
pub mod blip;
pub mod cab;
pub mod carve;
pub mod cells;
pub mod cfb;
pub mod classes;
pub mod cms;
pub mod coded;
pub mod compress;
pub mod compressed;
pub mod container;
pub mod eicar;
pub mod emf;
pub mod equation;
pub mod flat;
pub mod image;
pub mod links;
pub mod lzh;
pub mod mapi;
pub mod markup;
pub mod mbox;
pub mod message;
pub mod mht;
pub mod naming;
pub mod onenote;
pub mod ooxml;
pub mod payload;
pub mod pdf;
pub mod pe;
pub mod pgp;
pub mod picture;
pub mod query;
pub mod rar;
pub mod rtf;
pub mod sevenz;
pub mod shape;
pub mod smuggling;
pub mod sylk;
pub mod tar;
pub mod text;
pub mod tnef;
pub mod unopened;
pub mod zip;

/// A format: how to recognise it, and what to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// For findings and metrics.
    pub name: &'static str,
    /// Whether it looks only from inside a worker: whatever unpacks or parses what is not text. What is
    /// not walled is our own code, linear, without a decompressor, and may run in the daemon on small mail.
    pub walled: bool,
    /// Whether this format can be in the part.
    pub accepts: fn(&Part) -> bool,
    /// Looks into the part.
    pub examine: fn(&Part, &mut Scan),
}

/// Every format. The order does not matter: all that accept a part run.
pub const TABLE: &[Format] = &[
    message::FORMAT,
    text::FORMAT,
    zip::FORMAT,
    sevenz::FORMAT,
    rar::FORMAT,
    compressed::FORMAT,
    tar::FORMAT,
    cab::FORMAT,
    lzh::FORMAT,
    arj::FORMAT,
    image::FORMAT,
    cfb::FORMAT,
    pdf::FORMAT,
    bare::FORMAT,
    flat::FORMAT,
    mht::FORMAT,
    tnef::FORMAT,
    coded::FORMAT,
    smuggling::FORMAT,
    cms::FORMAT,
    pgp::FORMAT,
    mbox::FORMAT,
    activemime::FORMAT,
    carve::FORMAT,
    onenote::FORMAT,
    rtf::FORMAT,
    cells::FORMAT,
    sylk::FORMAT,
    query::FORMAT,
    eicar::FORMAT,
    naming::FORMAT,
    unopened::FORMAT,
];
