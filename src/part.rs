//! A part: anything with bytes of its own, at any depth (an attachment, an archive member, a stream).

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::filetype::TypeSet;

/// Where a part stands: the n-th child of the n-th child …, numbers from 1 joined by `/`.
/// The root (the message itself) is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartPath(Vec<u32>);

impl PartPath {
    /// The path of the message itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of the `n`-th child (from 1).
    pub fn child(&self, n: u32) -> Self {
        let mut steps = self.0.clone();
        steps.push(n);
        Self(steps)
    }

    /// Whether this part is `other` or lies below it.
    pub fn is_within(&self, other: &PartPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// This path and those of all parts around it, the innermost first, the root last.
    pub fn with_ancestors(&self) -> impl Iterator<Item = PartPath> + '_ {
        (0..=self.0.len()).rev().filter_map(|length| self.0.get(..length).map(|steps| PartPath(steps.to_vec())))
    }
}

impl fmt::Display for PartPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for PartPath {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split('/').filter(|s| !s.is_empty()).map(str::parse).collect::<Result<Vec<u32>, _>>().map(Self)
    }
}

impl Serialize for PartPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One name that a part was given, decoded, and the octets it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Decoded for people and rules; invalid octets are U+FFFD.
    pub text: String,
    /// As it stood in the message or archive, if decoding lost something.
    pub raw: Option<Vec<u8>>,
}

impl Name {
    /// A name that needed no decoding.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), raw: None }
    }
}

/// How a part came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The bytes that were handed to the scan: a message or a lone file.
    Root,
    /// Text of the mail itself: a MIME part that a mail reader shows in line.
    Body,
    /// A MIME part that a mail reader offers as a file (also a nested message).
    Attachment,
    /// A member of an archive.
    Member,
    /// Something inside a document: a macro project, an embedded object.
    Embedded,
}

/// Bytes to be examined, with everything the containers around them said of them.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its place in the message.
    pub path: PartPath,
    /// The document it belongs to: the nearest ancestor (or itself) that is not `Embedded`.
    /// Findings of one document are judged together.
    pub document: PartPath,
    /// How it came to be.
    pub origin: Origin,
    /// Every name it was given, the one most readers show first; they may disagree.
    pub names: Vec<Name>,
    /// The media type that the sender declared, lower case, without parameters.
    pub declared: Option<String>,
    /// Decoded content.
    pub bytes: Bytes,
    /// All types that the content matches.
    pub types: TypeSet,
    /// Containers around it; the root has 0.
    pub depth: u32,
    /// For a MIME part: where its octets (headers and body, without the delimiters) stand in
    /// the raw outermost message, so that it can be cut out without re-serialising anything.
    pub span: Option<Range<usize>>,
}

impl Part {
    /// The name to show, or the empty string.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.text.as_str())
    }

    /// The lower-case extensions of all names, without the dot.
    pub fn extensions(&self) -> impl Iterator<Item = String> + '_ {
        self.names.iter().filter_map(|name| extension(&name.text))
    }
}

/// The lower-case extension of a file name; white space and dots at the end are ignored, as
/// Windows ignores them.
pub fn extension(name: &str) -> Option<String> {
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let (stem, extension) = name.rsplit_once('.')?;
    // The longest that Windows starts is `searchconnector-ms`.
    (!stem.is_empty() && extension.chars().count() <= 20).then(|| extension.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_and_parse() {
        let path = PartPath::root().child(1).child(12);
        assert_eq!(path.to_string(), "1/12");
        assert_eq!("1/12".parse(), Ok(path.clone()));
        assert!(path.is_within(&PartPath::root().child(1)));
        assert!(!PartPath::root().child(12).is_within(&path));
    }

    #[test]
    fn extensions_as_windows_sees_them() {
        assert_eq!(extension("Invoice.PDF.EXE . ").as_deref(), Some("exe"));
        assert_eq!(extension(".profile"), None);
        assert_eq!(extension("請求書.xlsm").as_deref(), Some("xlsm"));
    }
}
