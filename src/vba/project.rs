//! The VBA project in its storage ([MS-OVBA] 2.2, 2.3): which modules there are, and their source.
//!
//! The `dir` stream is where Office looks and where reading starts; but a project is read also
//! where `dir` is damaged or lies: every stream beside it is searched for compressed source.

use std::collections::{BTreeMap, HashMap, HashSet};

use encoding_rs::Encoding;
use memchr::memmem;

use super::compress::{End, decompress};
use super::shown::{self, Protection};
use crate::formats::cfb::{CompoundFile, Entry};
use crate::reader::Reader;

/// Octets of source that a project may have. The editor takes 65,534 lines a module; the largest
/// honest projects known hold some 3 MB.
pub const MAX_SOURCE: usize = 16 << 20;
/// Octets of compiled code that are kept of a module.
pub const MAX_COMPILED: usize = 1 << 20;
/// Octets of a `dir` stream: about 100 a module or reference.
const MAX_DIR: usize = 4 << 20;
/// Modules of a project; Office itself gets slow with a thousand.
const MAX_MODULES: usize = 4000;

/// A VBA project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The storage that holds it, as a path; empty for the root.
    pub path: String,
    /// Its modules: those that `dir` lists in its order, then those that were found beside them.
    pub modules: Vec<Module>,
    /// The `_VBA_PROJECT` stream, which holds the names that compiled code uses ([MS-OVBA] 2.3.4.1).
    pub names: Vec<u8>,
    /// Whether a limit cut it short.
    pub is_cut: bool,
    /// Whether the editor shows it.
    pub protection: Protection,
    /// Modules whose names in the code page and in Unicode disagree: both.
    pub differing: Vec<(String, String)>,
}

/// A module of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its name, decoded.
    pub name: String,
    /// The source with its `Attribute` lines, decoded; empty if none could be read.
    pub source: String,
    /// The compiled code in front of the source ([MS-OVBA] 2.3.4.3), at most [`MAX_COMPILED`] octets.
    pub compiled: Vec<u8>,
    /// Whether the source broke off before its end.
    pub is_cut: bool,
    /// Whether `dir` lists it.
    pub is_listed: bool,
    /// Whether `dir` lists it and PROJECT, from which the editor takes its list, does not.
    pub is_hidden: bool,
}

impl Module {
    /// Whether it is the module of a document or sheet, by its base class ([MS-OVBA] 2.3.4.2.3.2.8
    /// does not tell it from a class). A form has two class ids.
    pub fn is_document(&self) -> bool {
        let line = self.source.lines().take(20).find(|line| line.contains("VB_Base"));
        line.is_some_and(|line| {
            // A document made from a template names the template's module: `1Normal.ThisDocument`.
            let is_from_template = line.contains("\"1") && !line.contains('{');
            is_from_template || (line.matches('{').count() == 1 && !line.to_ascii_uppercase().contains("FCFB3D2A"))
        })
    }
}

/// Every VBA project in `file`, at any path.
pub fn projects(file: &CompoundFile<'_>, max: u64) -> Vec<Project> {
    let mut storages: BTreeMap<Option<usize>, Vec<&Entry>> = BTreeMap::new();
    for (_, entry) in file.streams() {
        storages.entry(entry.parent).or_default().push(entry);
    }
    let mut left = usize::try_from(max).unwrap_or(usize::MAX).min(MAX_SOURCE);
    let mut projects = Vec::new();
    for (storage, streams) in storages {
        let path =
            storage.and_then(|index| file.entries().get(index)).map(|entry| file.path(entry)).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_likely = name.eq_ignore_ascii_case("VBA")
            || streams.iter().any(|stream| stream.is_named("dir") || stream.is_named("_VBA_PROJECT"));
        let project = if is_likely {
            read_project(file, storage, &streams, &mut left)
        } else {
            salvage(file, &streams, &mut left)
        };
        if !project.modules.is_empty() {
            projects.push(Project { path, ..project });
        }
    }
    projects
}

/// Reads the project whose `storage` holds `streams`.
fn read_project(file: &CompoundFile<'_>, storage: Option<usize>, streams: &[&Entry], left: &mut usize) -> Project {
    let dir = streams.iter().find(|stream| stream.is_named("dir"));
    let is_dir_cut = dir.is_some_and(|stream| stream.size > MAX_DIR as u64);
    let dir = dir.and_then(|stream| read_dir(&file.read(stream, MAX_DIR as u64)));
    let Dir { code_page, modules } = dir.unwrap_or_default();
    let names = streams.iter().find(|stream| stream.is_named("_VBA_PROJECT"));
    let names = names.map(|stream| file.read(stream, MAX_COMPILED as u64).into_owned()).unwrap_or_default();
    let is_cut = is_dir_cut || modules.len() > MAX_MODULES;
    let encoding = code_page.and_then(encoding_of);
    let differing = modules.iter().filter_map(|listed| listed.difference(encoding)).collect();
    let shown = shown(file, storage, code_page);
    let mut project = Project { names, is_cut, protection: shown.protection.clone(), differing, ..Project::default() };
    let mut used = HashSet::new();
    let mut position_of: HashMap<String, usize> = HashMap::new();
    for (position, stream) in streams.iter().enumerate() {
        position_of.entry(stream.name.to_ascii_lowercase()).or_insert(position);
    }
    let position = |name: &String| position_of.get(&name.to_ascii_lowercase()).copied();
    for listed in modules.iter().take(MAX_MODULES) {
        let is_hidden = !shown.lists(&listed.narrow_name, &listed.name, encoding);
        let module = Module { name: listed.name.clone(), is_listed: true, is_hidden, ..Module::default() };
        let found = listed.streams.iter().find_map(position);
        let Some(stream) = found.and_then(|position| streams.get(position)) else {
            project.modules.push(module);
            continue;
        };
        used.extend(found);
        project.add(module, &file.read(stream, MAX_SOURCE as u64), listed.offset, code_page, left);
    }
    // Of two names, Office may take either.
    for listed in modules.iter().take(MAX_MODULES) {
        for position in listed.own_streams().filter_map(position) {
            let Some(stream) = streams.get(position).filter(|_| project.modules.len() < MAX_MODULES) else { continue };
            if used.insert(position) {
                let module = Module { name: stream.name.clone(), is_listed: true, ..Module::default() };
                project.add(module, &file.read(stream, MAX_SOURCE as u64), listed.offset, code_page, left);
            }
        }
    }
    // Without a list, each stream of a real project is a module, readable or not.
    let is_unlisted = project.modules.is_empty() && !project.names.is_empty();
    for (_, stream) in streams.iter().enumerate().filter(|(position, _)| !used.contains(position)) {
        if is_cache(stream) {
            continue;
        }
        let content = file.read(stream, MAX_SOURCE as u64);
        if is_unlisted && project.modules.len() < MAX_MODULES {
            project.add(Module { name: stream.name.clone(), ..Module::default() }, &content, None, code_page, left);
        } else {
            project.is_cut |= is_unlisted;
            project.add_if_source(&stream.name, &content, code_page, left);
        }
    }
    project
}

/// The PROJECT stream beside the `storage` of the modules ([MS-OVBA] 2.2.1).
fn shown(file: &CompoundFile<'_>, storage: Option<usize>, code_page: Option<u16>) -> shown::Shown {
    let stream = storage.and_then(|index| file.stream(file.entries().get(index)?.parent, "PROJECT"));
    let Some(stream) = stream else { return shown::Shown::default() };
    if stream.size > shown::MAX_PROJECT {
        return shown::Shown::default();
    }
    shown::read(&file.read(stream, shown::MAX_PROJECT), |octets| decode(octets, code_page))
}

/// Looks for source in storages that do not look like a project: the storage may have been
/// renamed, or the tree that says what stands where may be broken.
fn salvage(file: &CompoundFile<'_>, streams: &[&Entry], left: &mut usize) -> Project {
    let mut project = Project::default();
    for stream in streams.iter().filter(|stream| stream.size <= MAX_SOURCE as u64) {
        let content = file.read(stream, MAX_SOURCE as u64);
        project.add_if_source(&stream.name, &content, None, left);
    }
    project
}

impl Project {
    /// Adds a module whose stream is `content`, with the source at `offset`, or wherever it is.
    fn add(&mut self, module: Module, content: &[u8], offset: Option<usize>, code_page: Option<u16>, left: &mut usize) {
        let at_offset =
            offset.and_then(|offset| source_at(content, offset, *left)).filter(|(_, source, _)| is_source(source));
        let found = at_offset.or_else(|| find_source(content, *left));
        let (start, source, is_cut) = found.unwrap_or((content.len(), Vec::new(), false));
        self.is_cut |= source.len() >= *left;
        *left = left.saturating_sub(source.len());
        self.modules.push(Module {
            source: decode(&source, code_page),
            compiled: content.get(..start.min(MAX_COMPILED)).unwrap_or_default().to_vec(),
            is_cut,
            ..module
        });
    }

    fn add_if_source(&mut self, name: &str, content: &[u8], code_page: Option<u16>, left: &mut usize) {
        if find_source(content, *left).is_none() {
            return;
        }
        if self.modules.len() >= MAX_MODULES {
            self.is_cut = true;
        } else {
            self.add(Module { name: name.to_owned(), ..Module::default() }, content, None, code_page, left);
        }
    }
}

/// The performance cache, the project's version stamp and the directory hold no source
/// ([MS-OVBA] 2.2.6, 2.3.4.1).
fn is_cache(stream: &Entry) -> bool {
    stream.is_named("dir")
        || stream.is_named("_VBA_PROJECT")
        || stream.name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("__SRP_"))
}

/// The start of the source, the source, and whether it broke off.
type Source = (usize, Vec<u8>, bool);

fn source_at(content: &[u8], offset: usize, max: usize) -> Option<Source> {
    let decompressed = decompress(content.get(offset..)?, max)?;
    Some((offset, decompressed.bytes, decompressed.end == End::Cut))
}

/// Every module starts with `Attribute VB_Name`; what does not may still be text.
fn is_source(bytes: &[u8]) -> bool {
    let head = bytes.get(..200).unwrap_or(bytes);
    let printable = head.iter().filter(|byte| **byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n')).count();
    printable.saturating_mul(10) >= head.len().saturating_mul(9)
}

/// Searches for a container that starts with an `Attribute` line: its first letters are literal
/// in a compressed chunk (after a flag octet) as in a raw one.
fn find_source(content: &[u8], max: usize) -> Option<Source> {
    memmem::find_iter(content, b"ttribut").find_map(|hit| {
        let starts = [hit.checked_sub(5), hit.checked_sub(4)];
        starts.into_iter().flatten().find_map(|start| {
            // Its first letters tell; only then the rest is worth the time.
            let (_, head, _) = source_at(content, start, b"Attribute".len())?;
            if !head.eq_ignore_ascii_case(b"Attribute") {
                return None;
            }
            source_at(content, start, max)
        })
    })
}

/// What the `dir` stream tells ([MS-OVBA] 2.3.4.2).
#[derive(Debug, Default)]
struct Dir {
    code_page: Option<u16>,
    modules: Vec<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    name: String,
    /// Its name in the code page; a stream has it if nothing else is told.
    narrow_name: String,
    /// The stream's name in the code page and in Unicode; they may disagree.
    narrow_stream: Option<String>,
    wide_stream: Option<String>,
    /// Where its stream may be, the likeliest first.
    streams: Vec<String>,
    offset: Option<usize>,
}

impl Listed {
    /// The names that disagree, in the code page and in Unicode.
    fn difference(&self, encoding: Option<&'static Encoding>) -> Option<(String, String)> {
        let streams = self.narrow_stream.as_ref().zip(self.wide_stream.as_ref());
        let differs = |(narrow, wide): &(&String, &String)| !shown::agree(narrow, wide, encoding);
        let (narrow, wide) = [Some((&self.narrow_name, &self.name)), streams].into_iter().flatten().find(differs)?;
        Some((narrow.clone(), wide.clone()))
    }

    /// The names that are told of its stream.
    fn own_streams(&self) -> impl Iterator<Item = &String> {
        self.wide_stream.iter().chain(&self.narrow_stream)
    }
}

/// The ids of the records that are used ([MS-OVBA] 2.3.4.2.1, .3).
mod record {
    pub const PROJECT_CODE_PAGE: u16 = 0x0003;
    pub const PROJECT_VERSION: u16 = 0x0009;
    pub const MODULE_NAME: u16 = 0x0019;
    pub const MODULE_NAME_UNICODE: u16 = 0x0047;
    pub const MODULE_STREAM_NAME: u16 = 0x001A;
    pub const MODULE_STREAM_NAME_UNICODE: u16 = 0x0032;
    pub const MODULE_OFFSET: u16 = 0x0031;
    pub const END: u16 = 0x0010;
}

/// All records have one shape, id, size, data, if the marks between the parts of a record are
/// taken as records too; only PROJECTVERSION's size leaves out two octets. So one loop reads
/// them in whatever order they come, and passes over those it does not know.
fn read_dir(stream: &[u8]) -> Option<Dir> {
    let bytes = decompress(stream, MAX_DIR)?.bytes;
    let mut reader = Reader::new(&bytes);
    let mut dir = Dir::default();
    while let (Some(id), Some(size)) = (reader.u16(), reader.u32()) {
        let size = if id == record::PROJECT_VERSION { 6 } else { size as usize };
        let Some(data) = reader.take(size) else { break };
        let narrow = || decode(data, dir.code_page);
        match id {
            record::PROJECT_CODE_PAGE => dir.code_page = Reader::new(data).u16(),
            record::MODULE_NAME => {
                let name = narrow();
                dir.modules.push(Listed {
                    streams: vec![name.clone()],
                    narrow_name: name.clone(),
                    name,
                    ..Listed::default()
                });
            }
            record::MODULE_STREAM_NAME => {
                let name = narrow();
                dir.with_last(|module| {
                    module.streams.push(name.clone());
                    module.narrow_stream = Some(name);
                });
            }
            record::MODULE_STREAM_NAME_UNICODE => dir.with_last(|module| {
                module.streams.insert(0, utf16(data));
                module.wide_stream = Some(utf16(data));
            }),
            record::MODULE_NAME_UNICODE => dir.with_last(|module| module.name = utf16(data)),
            record::MODULE_OFFSET => {
                dir.with_last(|module| module.offset = Reader::new(data).u32().map(|offset| offset as usize));
            }
            record::END => break,
            _ => {}
        }
    }
    Some(dir)
}

impl Dir {
    fn with_last(&mut self, change: impl FnOnce(&mut Listed)) {
        if let Some(module) = self.modules.last_mut() {
            change(module);
        }
    }
}

fn utf16(data: &[u8]) -> String {
    let units = data.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Decodes text of a project. Without a code page, or with one nobody knows, as Windows-1252,
/// which gives every octet a letter.
fn decode(bytes: &[u8], code_page: Option<u16>) -> String {
    let encoding = code_page.and_then(encoding_of).unwrap_or(encoding_rs::WINDOWS_1252);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// The encoding behind a Windows code page number.
pub fn encoding_of(code_page: u16) -> Option<&'static Encoding> {
    let label = match code_page {
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        1250 => "windows-1250",
        1251 => "windows-1251",
        1252 => "windows-1252",
        1253 => "windows-1253",
        1254 => "windows-1254",
        1255 => "windows-1255",
        1256 => "windows-1256",
        1257 => "windows-1257",
        1258 => "windows-1258",
        10000 => "macintosh",
        10001 => "shift_jis",
        10007 => "x-mac-cyrillic",
        20866 => "koi8-r",
        20932 | 51932 => "euc-jp",
        28591 => "iso-8859-1",
        50220 | 50221 => "iso-2022-jp",
        54936 => "gb18030",
        65001 => "utf-8",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}
