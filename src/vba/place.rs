//! Places outside of the code that it can read: controls of forms ([`super::form`]), properties of
//! the document ([MS-OLEPS]). What stands there is what a read of it is worth.

use foldhash::{HashMap, HashMapExt};

use encoding_rs::{UTF_8, WINDOWS_1252};

use super::form;
use crate::formats::cfb::{CompoundFile, Entry};
use crate::reader::Reader;

/// Octets of all streams that are read for this.
const MAX_READ: u64 = 8 << 20;
/// Places that are kept.
const MAX_PLACES: usize = 20_000;
/// Properties of a set that are read.
const MAX_PROPERTIES: usize = 500;

/// Places by the path that code reads them with, in lower case: `userform1.label1.caption`.
#[derive(Clone, Debug, Default)]
pub struct Places {
    values: HashMap<String, String>,
}

impl Places {
    /// What stands at a path. The document goes by several names, and by none; a form by its own
    /// name and, in its own code, by none: `module` is the one that reads.
    pub fn value(&self, path: &str, module: &str) -> Option<&str> {
        const DOCUMENT: &[&str] =
            &["thisdocument", "activedocument", "thisworkbook", "activeworkbook", "activepresentation", "me"];
        if self.values.is_empty() {
            return None;
        }
        let own = || self.values.get(&format!("{module}.{path}"));
        let found = self.values.get(path).or_else(own).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            let of_module = (first == "me").then(|| self.values.get(&format!("{module}.{rest}"))).flatten();
            of_module.or_else(|| if DOCUMENT.contains(&first) { self.values.get(rest) } else { None })
        });
        found.map(String::as_str)
    }

    fn add(&mut self, path: String, value: &str) {
        if !value.is_empty() && self.values.len() < MAX_PLACES {
            self.values.entry(path.to_lowercase()).or_insert_with(|| value.to_owned());
        }
    }

    /// A control of `owner` (a form, or a document's module): with its members.
    fn add_control(&mut self, owner: &str, site: &form::Site, content: &form::Content) {
        let default = if content.value.is_empty() { &content.caption } else { &content.value };
        let members = [
            ("", default),
            (".value", default),
            (".text", default),
            (".caption", &content.caption),
            (".tag", &site.tag),
            (".controltiptext", &site.tip),
            (".groupname", &content.group),
        ];
        for (member, value) in members {
            for path in [format!("{owner}{}{member}", site.name), format!("{owner}controls({}){member}", site.name)] {
                self.add(path, value);
            }
        }
    }
}

/// Reads the places of a file. `documents` are the names of modules that belong to a document.
pub fn places(file: &CompoundFile<'_>, documents: &[String]) -> Places {
    let mut places = Places::default();
    let mut left = MAX_READ;
    let mut read = |entry: &Entry| {
        let content = file.read(entry, left);
        left = left.saturating_sub(content.len() as u64);
        content
    };
    for (_, stream) in file.streams() {
        let sibling = |name: &str| file.stream(stream.parent, name);
        let owner = stream.parent.and_then(|parent| file.entries().get(parent));
        let name = stream.name.trim_start_matches(|c: char| c < ' ');
        match name {
            "f" => {
                let Some(owner) = owner else { continue };
                let contents = sibling("o").map(&mut read).unwrap_or_default();
                let mut at = 0_usize;
                for site in form::sites(&read(stream)) {
                    let end = at.saturating_add(site.size);
                    let content = contents.get(at..end).and_then(form::content).unwrap_or_default();
                    at = end;
                    places.add_control(&format!("{}.", form_name(file, owner)), &site, &content);
                }
            }
            "VBFrame" => {
                let Some(owner) = owner else { continue };
                let text = WINDOWS_1252.decode_without_bom_handling(&read(stream)).0.into_owned();
                for (property, value) in form::frame(&text) {
                    places.add(format!("{}.{property}", owner.name), &value);
                }
            }
            "contents" => {
                let Some(label) = sibling("OCXNAME").or_else(|| sibling("\u{3}OCXNAME")) else { continue };
                let octets = read(label);
                let units = octets.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
                let label: String =
                    char::decode_utf16(units).filter_map(Result::ok).take_while(|c| *c != '\0').collect();
                let content = form::content(&read(stream)).unwrap_or_default();
                let site = form::Site { name: label, ..form::Site::default() };
                places.add_control("", &site, &content);
                for document in documents {
                    places.add_control(&format!("{document}."), &site, &content);
                }
            }
            "SummaryInformation" | "DocumentSummaryInformation" => {
                for (name, value) in properties(&read(stream), name == "SummaryInformation") {
                    for list in ["builtindocumentproperties", "customdocumentproperties"] {
                        places.add(format!("{list}({name})"), &value);
                        places.add(format!("{list}({name}).value"), &value);
                        for document in documents {
                            places.add(format!("{document}.{list}({name})"), &value);
                            places.add(format!("{document}.{list}({name}).value"), &value);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    places
}

/// The form that a storage belongs to: its frames are storages within it, called `i` and a number.
fn form_name(file: &CompoundFile<'_>, storage: &Entry) -> String {
    const MAX_DEPTH: usize = 20;
    let mut storage = storage;
    for _ in 0..MAX_DEPTH {
        let is_frame = storage.name.len() >= 2
            && storage.name.strip_prefix('i').is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()));
        match storage.parent.and_then(|parent| file.entries().get(parent)) {
            Some(parent) if is_frame => storage = parent,
            _ => break,
        }
    }
    storage.name.clone()
}

/// The texts of a property set stream ([MS-OLEPS] 2.21): by name, and those of the summary by number too.
fn properties(stream: &[u8], is_summary: bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Some(mut head) = Reader::at(stream, 24) else { return found };
    let sets = head.u32().unwrap_or(0).min(2);
    let mut offsets = Vec::new();
    for _ in 0..sets {
        head.skip(16);
        offsets.extend(head.u32());
    }
    for (number, offset) in offsets.into_iter().enumerate() {
        let is_custom = number > 0;
        if let Some(set) = stream.get(offset as usize..) {
            read_set(set, is_summary, is_custom, &mut found);
        }
    }
    found
}

fn read_set(set: &[u8], is_summary: bool, is_custom: bool, found: &mut Vec<(String, String)>) {
    const SUMMARY: &[(u32, &str, &str)] = &[
        (2, "title", "1"),
        (3, "subject", "2"),
        (4, "author", "3"),
        (5, "keywords", "4"),
        (6, "comments", "5"),
        (7, "template", "6"),
        (8, "last author", "7"),
        (9, "revision number", "8"),
        (18, "application name", "9"),
    ];
    const DOCUMENT: &[(u32, &str, &str)] =
        &[(2, "category", "18"), (14, "manager", "20"), (15, "company", "21"), (3, "format", "19")];
    let Some(mut list) = Reader::at(set, 4) else { return };
    let count = (list.u32().unwrap_or(0) as usize).min(MAX_PROPERTIES);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (Some(id), Some(offset)) = (list.u32(), list.u32()) else { break };
        entries.push((id, offset as usize));
    }
    let value = |offset: usize| set.get(offset..);
    let page = entries.iter().find(|(id, _)| *id == 1).and_then(|(_, offset)| Reader::at(value(*offset)?, 4)?.u16());
    let names = entries.iter().find(|(id, _)| *id == 0).and_then(|(_, offset)| value(*offset)).map(|dictionary| {
        let mut reader = Reader::new(dictionary);
        let mut names = HashMap::new();
        for _ in 0..reader.u32().unwrap_or(0).min(MAX_PROPERTIES as u32) {
            let (Some(id), Some(length)) = (reader.u32(), reader.u32()) else { break };
            let Some(octets) = reader.take(length as usize) else { break };
            names.insert(id, decode(octets, page));
        }
        names
    });
    for (id, offset) in entries.into_iter().filter(|(id, _)| *id > 1) {
        let Some(text) = value(offset).and_then(|octets| text(octets, page)) else { continue };
        if is_custom {
            found.extend(names.as_ref().and_then(|names| names.get(&id)).map(|name| (name.clone(), text)));
            continue;
        }
        let table = if is_summary { SUMMARY } else { DOCUMENT };
        if let Some((_, name, number)) = table.iter().find(|(known, ..)| *known == id) {
            found.push(((*name).to_owned(), text.clone()));
            found.push(((*number).to_owned(), text));
        }
    }
}

/// A value that is a text (VT_LPSTR, VT_LPWSTR).
fn text(octets: &[u8], page: Option<u16>) -> Option<String> {
    let mut reader = Reader::new(octets);
    let (kind, count) = (reader.u32()? & 0xFFFF, reader.u32()? as usize);
    match kind {
        0x1E => Some(decode(reader.take(count)?, page)),
        0x1F => Some(decode(reader.take(count.checked_mul(2)?)?, Some(1200))),
        _ => None,
    }
}

fn decode(octets: &[u8], page: Option<u16>) -> String {
    let text = match page {
        Some(1200) => {
            let units = octets.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Some(65001) => UTF_8.decode_without_bom_handling(octets).0.into_owned(),
        _ => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    };
    text.trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_by_the_names_of_its_owner() {
        let mut places = Places::default();
        let site = form::Site { name: "Label1".to_owned(), tag: "tagged".to_owned(), ..form::Site::default() };
        let content = form::Content { caption: "shown".to_owned(), ..form::Content::default() };
        places.add_control("UserForm1.", &site, &content);
        places.add("builtindocumentproperties(comments)".to_owned(), "said");
        let read = |path: &str, module: &str| places.value(path, module).unwrap_or_default().to_owned();
        for path in ["userform1.label1", "userform1.label1.caption", "userform1.controls(label1).caption"] {
            assert_eq!(read(path, "module1"), "shown", "{path}");
        }
        for path in ["label1.tag", "me.label1.tag"] {
            assert_eq!(read(path, "userform1"), "tagged", "{path}");
        }
        for path in ["activedocument.builtindocumentproperties(comments)", "builtindocumentproperties(comments)"] {
            assert_eq!(read(path, "module1"), "said", "{path}");
        }
        for path in ["label1.tag", "userform2.label1.tag", "me.label1.tag", ""] {
            assert_eq!(read(path, "module1"), "", "{path}");
        }
    }

    #[test]
    fn properties_by_name_and_number() {
        // One set with a code page and comments.
        let mut stream = vec![0xFE, 0xFF, 0, 0];
        stream.extend([0; 20]);
        stream.extend(1_u32.to_le_bytes());
        stream.extend([0; 16]);
        stream.extend(48_u32.to_le_bytes());
        let mut set = vec![0; 4];
        set.extend(2_u32.to_le_bytes());
        for (id, offset) in [(1_u32, 24_u32), (6, 32)] {
            set.extend(id.to_le_bytes());
            set.extend(offset.to_le_bytes());
        }
        set.extend([2, 0, 0, 0, 0xE4, 4, 0, 0]);
        set.extend([0x1E, 0, 0, 0, 4, 0, 0, 0]);
        set.extend(b"hid\0");
        stream.extend(set);
        let found = properties(&stream, true);
        assert_eq!(found, [("comments".to_owned(), "hid".to_owned()), ("5".to_owned(), "hid".to_owned())]);
        for end in 0..stream.len() {
            properties(&stream[..end], true);
        }
    }
}
