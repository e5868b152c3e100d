//! The notice that stands where a part was: what was taken out, why, and which number to quote when
//! asking for it. Plain text in base64, so that nothing in it can look like a delimiter. It quotes
//! nothing of the mail but the file's name: the recipient trusts what the filter says.

use data_encoding::BASE64;

use super::{Languages, Notice};
use crate::hostile::is_hostile;
use crate::part::Origin;
use crate::scan::{PartReport, Report};
use crate::verdict::{self, Explanation, escaped};

/// Longest name in the text, and of the file, in characters.
const MAX_NAME: usize = 80;
const MAX_FILE_NAME: usize = 60;
/// Characters of a base64 line (RFC 2045 6.8), and of one piece of a name (RFC 2231 3).
const LINE: usize = 76;
const PIECE: usize = 57;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Attachment,
    Message,
    Text,
}

/// What is taken out, and why.
pub(super) struct Removed<'a> {
    /// What the scan knows of it: several, if it can be read in several ways.
    pub parts: Vec<&'a PartReport>,
    /// A message as such.
    pub message: bool,
    /// It stood inside something signed.
    pub signed: bool,
}

impl Removed<'_> {
    fn what(&self) -> What {
        match self.parts.first().map(|part| part.origin) {
            _ if self.message => What::Message,
            Some(Origin::Body) => What::Text,
            _ => What::Attachment,
        }
    }

    fn name(&self) -> Option<&str> {
        self.parts.iter().flat_map(|part| &part.names).map(String::as_str).find(|name| !name.trim().is_empty())
    }

    fn size(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.size)
    }
}

/// The header fields of a notice (without Content-Disposition), and its content.
pub(super) const FIELDS: [(&str, &str); 2] =
    [("Content-Type", "text/plain; charset=utf-8"), ("Content-Transfer-Encoding", "base64")];

/// The MIME part that takes the place of `removed`, without a line end at its end: that belongs to
/// the delimiter behind it (RFC 2046 5.1.1).
///
/// `inline` with a name: readers that can show it, others offer a text file that is called like what
/// it stands for.
pub(super) fn part(notice: &Notice<'_>, report: &Report, removed: &Removed<'_>, newline: &str) -> Vec<u8> {
    let fields: String = FIELDS.iter().map(|(name, value)| format!("{name}: {value}{newline}")).collect();
    let name = file_name(&file_stem(removed.name()), newline);
    let body = body(notice, report, removed, newline);
    let body = body.trim_end();
    format!("{fields}Content-Disposition: inline;{newline} {name}{newline}{newline}{body}").into_bytes()
}

/// The content alone, encoded, every line ended.
pub(super) fn body(notice: &Notice<'_>, report: &Report, removed: &Removed<'_>, newline: &str) -> String {
    let encoded = BASE64.encode(text(notice, report, removed).as_bytes());
    let lines = encoded.as_bytes().chunks(LINE);
    lines.map(|line| String::from_utf8_lossy(line).into_owned() + newline).collect()
}

/// What the recipient reads.
pub(super) fn text(notice: &Notice<'_>, report: &Report, removed: &Removed<'_>) -> String {
    let why = reason(report, removed);
    let id = escaped(notice.id, MAX_NAME);
    match notice.languages {
        Languages::English => english(removed, &why.en, &id),
        Languages::Japanese => japanese(removed, &why.ja, &id),
        Languages::Both => {
            let line = "-".repeat(40);
            format!("{}\r\n{line}\r\n\r\n{}", japanese(removed, &why.ja, &id), english(removed, &why.en, &id))
        }
    }
}

/// What was found, or that a rule did not want it.
fn reason(report: &Report, removed: &Removed<'_>) -> Explanation {
    let paths: Vec<_> = removed.parts.iter().map(|part| &part.path).collect();
    let why = verdict::reason(report, &paths);
    if !why.en.is_empty() {
        return why;
    }
    Explanation {
        en: "The rules of this mail system do not allow it.".to_owned(),
        ja: "このメールサーバーの設定で許可されていない内容です。".to_owned(),
    }
}

fn english(removed: &Removed<'_>, why: &str, id: &str) -> String {
    let what = match removed.what() {
        What::Attachment => "an attachment",
        What::Message => "an attached message",
        What::Text => "a part of the text",
    };
    let mut text = format!("For security reasons, {what} was removed from this message.\r\n\r\n");
    let size = english_size(removed.size());
    match removed.name() {
        Some(name) => text.push_str(&format!("Name: {} ({size})\r\n", escaped(name, MAX_NAME))),
        None => text.push_str(&format!("Size: {size}\r\n")),
    }
    text.push_str(&format!("Reason: {why}\r\n\r\n"));
    if removed.signed {
        text.push_str(
            "The message was digitally signed. Because of the removal, the signature no longer matches.\r\n\r\n",
        );
    }
    text.push_str(&format!(
        "The original message is kept in quarantine. If you need it, ask your mail administrator and quote this number:\r\n{id}\r\n"
    ));
    text
}

fn japanese(removed: &Removed<'_>, why: &str, id: &str) -> String {
    let what = match removed.what() {
        What::Attachment => "添付ファイル",
        What::Message => "添付されたメール",
        What::Text => "本文の一部",
    };
    let mut text = format!("セキュリティ上の理由により、このメールから{what}を取り除きました。\r\n\r\n");
    let size = japanese_size(removed.size());
    match removed.name() {
        Some(name) => text.push_str(&format!("名前：{}（{size}）\r\n", escaped(name, MAX_NAME))),
        None => text.push_str(&format!("サイズ：{size}\r\n")),
    }
    text.push_str(&format!("理由：{why}\r\n\r\n"));
    if removed.signed {
        text.push_str(
            "このメールには電子署名が付いていましたが、内容を変更したため、署名の検証には失敗します。\r\n\r\n",
        );
    }
    text.push_str(&format!(
        "元のメールは隔離して保管しています。必要な場合は、次の番号を添えてメール管理者にお問い合わせください。\r\n{id}\r\n"
    ));
    text
}

fn english_size(octets: u64) -> String {
    if octets < 1000 { format!("{octets} bytes") } else { large_size(octets) }
}

fn japanese_size(octets: u64) -> String {
    if octets < 1000 { format!("{octets}バイト") } else { large_size(octets) }
}

fn large_size(octets: u64) -> String {
    let kilo = octets.div_ceil(1000);
    if kilo < 1000 {
        return format!("{kilo} KB");
    }
    let tenths = octets.div_ceil(100_000);
    format!("{}.{} MB", tenths.checked_div(10).unwrap_or_default(), tenths.checked_rem(10).unwrap_or_default())
}

/// A name that no file system and no reader stumbles over, without the `.txt`.
fn file_stem(name: Option<&str>) -> String {
    let harmless = |c: char| if is_hostile(c) || "/\\:*?\"<>|%;'⟦⟧".contains(c) { '_' } else { c };
    let clean: String = name.unwrap_or_default().chars().map(harmless).collect();
    let clean = clean.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let count = clean.chars().count();
    // The end is kept, where the extension is.
    let kept: String = clean.chars().skip(count.saturating_sub(MAX_FILE_NAME)).collect();
    if kept.is_empty() { "removed".to_owned() } else { kept }
}

/// The parameter of Content-Disposition, folded: quoted if it is ASCII, else in pieces (RFC 2231 3-4).
fn file_name(stem: &str, newline: &str) -> String {
    if stem.is_ascii() && !stem.contains("=?") {
        return format!("filename=\"{stem}.txt\"");
    }
    let encoded: Vec<String> = format!("{stem}.txt").bytes().map(percent).collect();
    let mut pieces = vec![String::new()];
    for octet in encoded {
        match pieces.last_mut() {
            Some(last) if last.len().saturating_add(octet.len()) <= PIECE => last.push_str(&octet),
            _ => pieces.push(octet),
        }
    }
    if let [one] = pieces.as_slice() {
        return format!("filename*=utf-8''{one}");
    }
    let numbered = pieces.iter().enumerate().map(|(n, piece)| {
        let charset = if n == 0 { "utf-8''" } else { "" };
        format!("filename*{n}*={charset}{piece}")
    });
    numbered.collect::<Vec<_>>().join(&format!(";{newline} "))
}

fn percent(octet: u8) -> String {
    if octet.is_ascii_alphanumeric() || b"._-".contains(&octet) {
        char::from(octet).to_string()
    } else {
        format!("%{octet:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless_and_keep_their_end() {
        assert_eq!(file_stem(Some("invoice.docm")), "invoice.docm");
        assert_eq!(file_stem(Some("../a\\b\"c\u{202e}.exe . ")), "_a_b_c_.exe");
        assert_eq!(file_stem(Some(" . ")), "removed");
        assert_eq!(file_stem(None), "removed");
        let long = file_stem(Some(&("x".repeat(500) + ".docm")));
        assert!(long.len() == MAX_FILE_NAME && long.ends_with("x.docm"), "{long}");
    }

    #[test]
    fn names_that_are_not_ascii_stand_in_pieces() {
        assert_eq!(file_name("a b.docm", "\r\n"), "filename=\"a b.docm.txt\"");
        assert_eq!(file_name("請", "\r\n"), "filename*=utf-8''%E8%AB%8B.txt");
        let long = file_name(&"請".repeat(20), "\n");
        assert!(long.starts_with("filename*0*=utf-8''%E8") && long.contains(";\n filename*1*=%"), "{long}");
        assert!(long.lines().all(|line| line.len() < 78), "{long}");
    }

    #[test]
    fn sizes_are_rounded_up() {
        let sizes = [0, 999, 1000, 1001, 999_000, 999_001, 1_250_000].map(english_size);
        assert_eq!(sizes, ["0 bytes", "999 bytes", "1 KB", "2 KB", "999 KB", "1.0 MB", "1.3 MB"]);
        assert_eq!(japanese_size(12), "12バイト");
    }
}
