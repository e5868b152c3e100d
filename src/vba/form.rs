//! Controls of forms and documents ([MS-OFORMS]): their names, and the texts that code can read.
//!
//! The stream `f` lists a form's controls, `o` holds their content one after the other; a control
//! in a document has its content in `contents`. What comes before the list, and pictures, fonts
//! and colours, are left out.

use encoding_rs::WINDOWS_1252;

use crate::reader::Reader;

/// Controls of a form that are read; the designer gets slow with a few hundred.
const MAX_CONTROLS: usize = 2000;
/// Longest text of a control, in octets.
const MAX_TEXT: usize = 1 << 20;

/// A control as its form lists it ([MS-OFORMS] 2.2.10.12.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// What its author wrote to it.
    pub tag: String,
    /// What is shown while the mouse is over it.
    pub tip: String,
    /// Octets of its content in `o`.
    pub size: usize,
}

/// The texts of a control's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Text and value of what one writes into.
    pub value: String,
    /// The caption.
    pub caption: String,
    /// The group of an option.
    pub group: String,
}

/// The controls that a stream `f` lists, wherever in it they stand.
pub fn sites(stream: &[u8]) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut at = 0_usize;
    while at < stream.len() && sites.len() < MAX_CONTROLS {
        match site(stream.get(at..).unwrap_or_default()) {
            Some((site, length)) => {
                sites.push(site);
                at = at.saturating_add(length);
            }
            None => at = at.saturating_add(1),
        }
    }
    sites
}

/// Reads fields that stand at multiples of their size, counted from where the structure starts.
struct Fields<'a> {
    reader: Reader<'a>,
    start: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], start: usize) -> Option<Self> {
        Some(Self { reader: Reader::at(bytes, start)?, start })
    }

    fn align(&mut self, size: usize) -> Option<()> {
        let over = self.reader.position().saturating_sub(self.start).checked_rem(size)?;
        if over == 0 { Some(()) } else { self.reader.skip(size.saturating_sub(over)) }
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        self.reader.u32()
    }

    /// Passes over a field of this size, if there is one.
    fn pass(&mut self, is_there: bool, size: usize) -> Option<()> {
        if !is_there {
            return Some(());
        }
        self.align(size)?;
        self.reader.skip(size)
    }

    /// The count of a text, if there is one.
    fn count(&mut self, is_there: bool) -> Option<Option<u32>> {
        if is_there { self.u32().map(Some) } else { Some(None) }
    }

    /// A text of this count, which says in its highest bit that each character takes one octet.
    fn text(&mut self, count: Option<u32>) -> Option<String> {
        let Some(count) = count else { return Some(String::new()) };
        let length = (count & 0x7FFF_FFFF) as usize;
        if length > MAX_TEXT {
            return None;
        }
        self.align(4)?;
        let octets = self.reader.take(length)?;
        // The last one needs no filling.
        if self.align(4).is_none() {
            self.reader.rest();
        }
        if count >> 31 == 1 {
            return Some(WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned());
        }
        let units = octets.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
        Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }
}

/// An `OleSiteConcreteControl` at the start of `bytes`, and its length.
fn site(bytes: &[u8]) -> Option<(Site, usize)> {
    let mut head = Reader::new(bytes);
    let (version, size, mask) = (head.u16()?, usize::from(head.u16()?), head.u32()?);
    let has = |bit: u32| mask >> bit & 1 == 1;
    if version != 0 || !has(0) || mask >> 15 != 0 || has(10) || size < 12 {
        return None;
    }
    let length = size.checked_add(4)?;
    let mut fields = Fields::new(bytes.get(..length)?, 4)?;
    fields.u32()?;
    let name = fields.count(true)?;
    let tag = fields.count(has(1))?;
    for bit in [2, 3, 4] {
        fields.pass(has(bit), 4)?;
    }
    let content = if has(5) { fields.u32()? } else { 0 };
    for bit in [6, 7, 9] {
        fields.pass(has(bit), 2)?;
    }
    let tip = fields.count(has(11))?;
    for bit in [12, 13, 14] {
        fields.pass(has(bit), 4)?;
    }
    let name = fields.text(name)?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_name {
        return None;
    }
    let tag = fields.text(tag)?;
    if has(8) {
        fields.align(4)?;
        fields.reader.skip(8)?;
    }
    let tip = fields.text(tip)?;
    Some((Site { name, tag, tip, size: content as usize }, length))
}

/// The content of a control: of what one writes into and picks ([MS-OFORMS] 2.2.5), of a label or
/// a button (2.2.4, 2.2.1). Which it is shows in which of the two fits its size.
pub fn content(bytes: &[u8]) -> Option<Content> {
    morph(bytes).or_else(|| labelled(bytes))
}

fn morph(bytes: &[u8]) -> Option<Content> {
    let size = usize::from(Reader::at(bytes, 2)?.u16()?);
    let end = size.checked_add(4)?;
    let mut fields = Fields::new(bytes.get(..end)?, 4)?;
    let mask = fields.reader.u64()?;
    let has = |bit: u32| mask >> bit & 1 == 1;
    // Reserved bits; a label's mask has but 32 bits and a colour behind.
    if has(19) || has(30) || mask >> 33 != 0 {
        return None;
    }
    for (bit, size) in
        [(0, 4), (1, 4), (2, 4), (3, 4), (4, 1), (5, 1), (6, 1), (7, 1), (9, 2), (10, 4), (11, 2), (12, 2)]
    {
        fields.pass(has(bit), size)?;
    }
    for (bit, size) in [(13, 2), (14, 2), (15, 2), (16, 1), (17, 1), (18, 1), (20, 1), (21, 1)] {
        fields.pass(has(bit), size)?;
    }
    let value = fields.count(has(22))?;
    let caption = fields.count(has(23))?;
    for (bit, size) in [(24, 4), (25, 4), (26, 4), (27, 2), (28, 2), (29, 2)] {
        fields.pass(has(bit), size)?;
    }
    let group = fields.count(has(32))?;
    fields.align(4)?;
    if has(8) {
        fields.reader.skip(8)?;
    }
    let content = Content { value: fields.text(value)?, caption: fields.text(caption)?, group: fields.text(group)? };
    (fields.reader.left() < 4).then_some(content)
}

fn labelled(bytes: &[u8]) -> Option<Content> {
    let size = usize::from(Reader::at(bytes, 2)?.u16()?);
    let mut fields = Fields::new(bytes.get(..size.checked_add(4)?)?, 4)?;
    let mask = fields.u32()?;
    let has = |bit: u32| mask >> bit & 1 == 1;
    for bit in [0, 1, 2] {
        fields.pass(has(bit), 4)?;
    }
    let count = fields.count(has(3))?;
    let length = (count? & 0x7FFF_FFFF) as usize;
    // Other fields stand between; the caption, and the size if there is one, end the structure.
    let padded = length.checked_add(3)? & !3;
    let size = if has(5) { 8 } else { 0 };
    let start = bytes.get(..fields.reader.position().checked_add(fields.reader.left())?)?.len();
    let mut text = Fields::new(bytes.get(..start)?, start.checked_sub(padded)?.checked_sub(size)?)?;
    let caption = text.text(count)?;
    (!caption.contains('\0')).then_some(Content { caption, ..Content::default() })
}

/// The properties of a form in its stream `\x03VBFrame` ([MS-OVBA] 2.3.5): names in lower case.
pub fn frame(text: &str) -> Vec<(String, String)> {
    let quoted = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim().strip_prefix('"')?;
        let value = value.rsplit_once('"')?.0.replace("\"\"", "\"");
        Some((name.trim().to_ascii_lowercase(), value))
    };
    text.lines().take(200).filter_map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site with a name, a tag, a content of 40 octets, a place and a tip.
    fn written_site(name: &str, tag: &str, tip: &str) -> Vec<u8> {
        let mut body = Vec::new();
        let mask: u32 = 0b1001_0011_0011 & !(1 << 4) | 1 << 11;
        body.extend(mask.to_le_bytes());
        for text in [name, tag] {
            body.extend((text.len() as u32 | 1 << 31).to_le_bytes());
        }
        body.extend(40_u32.to_le_bytes());
        body.extend((tip.len() as u32 | 1 << 31).to_le_bytes());
        let mut padded = |text: &str| {
            body.extend(text.bytes());
            while body.len() % 4 != 0 {
                body.push(0);
            }
        };
        padded(name);
        padded(tag);
        padded("12345678");
        padded(tip);
        let mut site = vec![0, 0];
        site.extend((body.len() as u16).to_le_bytes());
        site.extend(body);
        site
    }

    #[test]
    fn sites_are_found_behind_anything() {
        let mut stream = vec![1, 2, 3];
        stream.extend(written_site("Label1", "a tag", "a tip"));
        stream.extend(written_site("Box", "", "x"));
        let found = sites(&stream);
        let texts: Vec<_> = found.iter().map(|s| (s.name.as_str(), s.tag.as_str(), s.tip.as_str(), s.size)).collect();
        assert_eq!(texts, [("Label1", "a tag", "a tip", 40), ("Box", "", "x", 40)]);
        for end in 0..stream.len() {
            sites(&stream[..end]);
        }
    }

    #[test]
    fn contents_of_both_kinds() {
        // A text box: flags, size, value, and nothing else.
        let mut body = (1_u64 | 1 << 8 | 1 << 22).to_le_bytes().to_vec();
        body.extend([0; 4]);
        body.extend((5_u32 | 1 << 31).to_le_bytes());
        body.extend([7; 8]);
        body.extend(b"value\0\0\0");
        let mut control = vec![0, 2];
        control.extend((body.len() as u16).to_le_bytes());
        control.extend(body);
        assert_eq!(content(&control).map(|c| c.value), Some("value".to_owned()));
        // A label: caption, size.
        let mut body = (1_u32 << 3 | 1 << 5).to_le_bytes().to_vec();
        body.extend((6_u32).to_le_bytes());
        body.extend(b"a\0b\0c\0\0\0");
        body.extend([7; 8]);
        let mut label = vec![0, 2];
        label.extend((body.len() as u16).to_le_bytes());
        label.extend(body);
        assert_eq!(content(&label).map(|c| c.caption), Some("abc".to_owned()));
        for bytes in [&control, &label] {
            for end in 0..bytes.len() {
                content(&bytes[..end]);
            }
        }
    }

    #[test]
    fn properties_of_a_form() {
        let text = "Begin {C62A69F0} UserForm1 \r\n   Caption         =   \"a \"\"b\"\"\"\r\n   ClientHeight = 3015\r\nEnd\r\n";
        assert_eq!(frame(text), [("caption".to_owned(), "a \"b\"".to_owned())]);
    }
}
