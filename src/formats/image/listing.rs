//! What the file systems of an image list: files by their extents, so that the same file in two views (ISO 9660,
//! Joliet, UDF) is one file with its names. Work is bounded by what an image of that size can hold.

use std::collections::HashMap;

use bytes::Bytes;

use super::disk::{Disk, Extent};
use crate::part::{Name, extension};

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its paths.
    pub names: Vec<Name>,
    /// Where its octets stand.
    pub extents: Vec<Extent>,
    /// Its size, as it claims.
    pub size: u64,
    views: u8,
}

/// Files of a volume.
#[derive(Debug)]
pub struct Listing {
    /// In the order they were found.
    pub files: Vec<File>,
    /// Not all was listed.
    pub cut: bool,
    /// Something could not be read.
    pub damaged: bool,
    known: HashMap<(Vec<Extent>, String), Vec<usize>>,
    most: usize,
    steps: u64,
}

/// Steps (entries, sectors of directories, clusters, extents) beside those that the size allows.
const STEPS: u64 = 100_000;
/// Octets of one directory.
const MAX_DIRECTORY: u64 = 16 << 20;
/// Files that are compared with a new one of the same extents.
const MAX_COMPARED: usize = 16;
/// Characters of a path.
const MAX_PATH: usize = 4096;

impl Listing {
    /// Of at most `most` files.
    pub fn new(disk: &Disk, most: usize) -> Self {
        let sectors = disk.stored().checked_div(256).unwrap_or_default();
        let (files, known) = (Vec::new(), HashMap::new());
        Self { files, cut: false, damaged: false, known, most, steps: sectors.saturating_add(STEPS) }
    }

    /// Charges so many steps; `false` if there are no more.
    pub fn step(&mut self, count: u64) -> bool {
        self.steps = self.steps.saturating_sub(count);
        self.cut |= self.steps == 0;
        self.steps > 0 && self.files.len() < self.most
    }

    /// The octets of a directory, which are charged.
    pub fn directory(&mut self, disk: &Disk, extents: &[Extent], size: u64) -> Bytes {
        self.cut |= size > MAX_DIRECTORY;
        let size = size.min(MAX_DIRECTORY);
        let mut copies = size;
        let bytes = disk.gather(extents, size, &mut copies);
        self.damaged |= (bytes.len() as u64) < size;
        let sectors = (bytes.len() as u64).checked_div(512).unwrap_or_default();
        if self.step(sectors.saturating_add(1)) { bytes } else { Bytes::new() }
    }

    /// Adds a file that stands in a view (a bit). The same file in another view becomes another name.
    pub fn add(&mut self, view: u8, name: Name, extents: Vec<Extent>, size: u64) {
        if self.files.len() >= self.most {
            self.cut = true;
            return;
        }
        // What is empty has no place: it is the same if it is called the same.
        let text = if size == 0 { name.text.to_lowercase() } else { String::new() };
        let known = self.known.entry((extents.clone(), text)).or_default();
        let other = |index: &&usize| self.files.get(**index).is_some_and(|f| f.views & view == 0 && f.size == size);
        if let Some(file) = known.iter().rev().take(MAX_COMPARED).rev().find(other).copied() {
            if let Some(file) = self.files.get_mut(file) {
                file.views |= view;
                if !file.names.iter().any(|known| is_alias(&name, known)) {
                    file.names.push(name);
                }
            }
            return;
        }
        known.push(self.files.len());
        self.files.push(File { names: vec![name], extents, size, views: view });
    }
}

/// Whether a name says no more than another: the same, or cut to eight and three letters.
fn is_alias(name: &Name, of: &Name) -> bool {
    let short = |name: &Name| extension(&name.text).map(|e| e.chars().take(3).collect::<String>());
    let is_short = extension(&name.text).is_none_or(|e| e.chars().count() <= 3);
    name.text.eq_ignore_ascii_case(&of.text) || is_short && short(name) == short(of)
}

/// The path of `name` within a folder.
pub fn path(folder: &str, name: Name) -> Name {
    if folder.is_empty() || folder.len() > MAX_PATH {
        return name;
    }
    Name { text: format!("{folder}/{}", name.text), raw: name.raw }
}
