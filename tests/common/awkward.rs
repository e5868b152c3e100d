//! Awkward messages: each carries one attachment that at least one mail reader would show, in a
//! way that at least one scanner has been known to miss. All are generated, and harmless.

use data_encoding::BASE64;
use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS};

/// A message and what must be found in it.
pub struct Case {
    pub name: &'static str,
    pub raw: Vec<u8>,
    /// The attachment, byte for byte.
    pub payload: Vec<u8>,
    /// Names that the part must have, among others.
    pub names: Vec<&'static str>,
}

/// Octets with the beginning of an OLE file that no other case has.
pub fn payload(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(600..1400);
    let mut bytes = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
    bytes
}

/// Base64 in lines of 76 characters.
pub fn base64(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

/// Every octet escaped, with soft line breaks.
pub fn quoted_printable(bytes: &[u8]) -> String {
    bytes.chunks(20).map(|line| line.iter().map(|b| format!("={b:02X}")).collect::<String>() + "=\n").collect()
}

pub fn uuencode(name: &str, bytes: &[u8]) -> String {
    let six = |value: u8| if value == 0 { '`' } else { char::from(value + 32) };
    let mut out = format!("begin 644 {name}\n");
    for line in bytes.chunks(45) {
        out.push(six(line.len() as u8));
        for group in line.chunks(3) {
            let at = |i: usize| group.get(i).copied().unwrap_or(0);
            let bits = u32::from_be_bytes([0, at(0), at(1), at(2)]);
            out.extend([18, 12, 6, 0].map(|shift| six((bits >> shift) as u8 & 63)));
        }
        out.push('\n');
    }
    out + "`\nend\n"
}

pub fn yencode(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("=ybegin line=128 size={} name={name}\r\n", bytes.len()).into_bytes();
    for line in bytes.chunks(128) {
        for byte in line {
            let code = byte.wrapping_add(42);
            if matches!(code, 0 | b'\r' | b'\n' | b'=') {
                out.extend([b'=', code.wrapping_add(64)]);
            } else {
                out.push(code);
            }
        }
        out.extend(b"\r\n");
    }
    out.extend(format!("=yend size={}\r\n", bytes.len()).bytes());
    out
}

const TOP: &str = "Received: from a.example by b.example; Mon, 1 Jan 2024 00:00:00 +0000\nFrom: a@example.com\nTo: b@example.com\nSubject: s\nMessage-ID: <1@example.com>\nMIME-Version: 1.0\n";
const TEXT: &str = "--b1\nContent-Type: text/plain; charset=us-ascii\n\nHello.\n\n";

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A multipart/mixed message: a text, `part` (header section and body), the end.
fn mixed(part: &str) -> Vec<u8> {
    crlf(&format!("{TOP}Content-Type: multipart/mixed; boundary=\"b1\"\n\n{TEXT}--b1\n{part}\n--b1--\n"))
}

/// As [`mixed`], with raw octets in the name or the body: `@` in the part stands for them.
fn mixed_raw(part: &str, octets: &[u8]) -> Vec<u8> {
    let raw = mixed(part);
    let at = raw.windows(4).position(|w| w == b"@@@@").unwrap();
    [&raw[..at], octets, &raw[at + 4..]].concat()
}

fn attachment(name: &str, body: &str) -> String {
    format!(
        "Content-Type: application/msword; name=\"{name}\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"{name}\"\n\n{body}"
    )
}

fn named(encoding: &'static Encoding, name: &str) -> Vec<u8> {
    encoding.encode(name).0.into_owned()
}

/// A case without its payload: what makes the message from it, and the names to be found.
type Row = (&'static str, &'static [&'static str], fn(&[u8]) -> Vec<u8>);

/// All of them.
pub fn table() -> Vec<Case> {
    let rows = PLAIN.iter().chain(BASE64_ROWS).chain(STRUCTURE).chain(ENCODINGS).chain(NAMES).chain(NESTED);
    rows.zip(1..)
        .map(|((name, names, build), seed)| {
            let payload = payload(seed);
            Case { name, raw: build(&payload), payload, names: names.to_vec() }
        })
        .collect()
}

const PLAIN: &[Row] = &[
    ("an ordinary attachment", &["a.doc"], |p| mixed(&attachment("a.doc", &base64(p)))),
    ("a document labelled text/plain", &["a.docm"], |p| {
        mixed(&format!("Content-Type: text/plain; name=a.docm\nContent-Transfer-Encoding: base64\n\n{}", base64(p)))
    }),
    ("a document labelled text/plain without a name", &[], |p| {
        mixed(&format!("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{}", base64(p)))
    }),
    ("the whole message is the attachment", &["a.doc"], |p| crlf(&format!("{TOP}{}", attachment("a.doc", &base64(p))))),
    ("no MIME-Version", &["a.doc"], |p| {
        let raw = String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap();
        raw.replace("MIME-Version: 1.0\r\n", "").into_bytes()
    }),
    ("an inline image that is none", &["a.png"], |p| {
        mixed(&format!(
            "Content-Type: image/png; name=a.png\nContent-ID: <1>\nContent-Disposition: inline\nContent-Transfer-Encoding: base64\n\n{}",
            base64(p)
        ))
    }),
    ("line ends are LF", &["a.doc"], |p| {
        String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap().replace("\r\n", "\n").into_bytes()
    }),
    ("line ends are CR", &["a.doc"], |p| {
        String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap().replace("\r\n", "\r").into_bytes()
    }),
    ("line ends are CR CR LF", &["a.doc"], |p| {
        String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap().replace("\r\n", "\r\r\n").into_bytes()
    }),
    ("the part's header lines end with a CR alone", &["a.doc"], |p| {
        let head = attachment("a.doc", "@@@@").replace('\n', "\r");
        mixed_raw(&head, &crlf(&base64(p)))
    }),
    ("an mbox line at the top", &["a.doc"], |p| {
        [b"From a@example.com Mon Jan  1 00:00:00 2024\r\n".to_vec(), mixed(&attachment("a.doc", &base64(p)))].concat()
    }),
    ("an empty line at the top", &["a.doc"], |p| [b"\r\n".to_vec(), mixed(&attachment("a.doc", &base64(p)))].concat()),
];

fn dirty(p: &[u8], change: fn(&str) -> String) -> Vec<u8> {
    mixed(&attachment("a.doc", &change(&base64(p))))
}

const BASE64_ROWS: &[Row] = &[
    ("base64 with stray characters", &["a.doc"], |p| {
        dirty(p, |text| text.replace('A', "A!").replace('Q', "*Q ").replace('g', "g\t\u{7f}"))
    }),
    ("base64 with spaces between all characters", &["a.doc"], |p| {
        dirty(p, |text| text.chars().flat_map(|c| [c, ' ']).collect())
    }),
    ("base64 in one line", &["a.doc"], |p| dirty(p, |text| text.replace('\n', ""))),
    ("base64 with empty lines", &["a.doc"], |p| dirty(p, |text| text.replace('\n', "\n\n \n"))),
    ("base64 with a lone CR in each line", &["a.doc"], |p| {
        dirty(p, |text| {
            text.lines().map(|line| line[..line.len() / 2].to_owned() + "\r" + &line[line.len() / 2..] + "\n").collect()
        })
    }),
    ("base64 with = as dirt", &["a.doc"], |p| dirty(p, |text| text[..10].to_owned() + "=" + &text[10..])),
    ("base64 with == at the beginning", &["a.doc"], |p| dirty(p, |text| "==".to_owned() + text)),
    ("base64 in padded runs", &["a.doc"], |p| {
        let runs: String = p.chunks(100).map(|run| BASE64.encode(run) + "\n").collect();
        mixed(&attachment("a.doc", &runs))
    }),
    ("base64 without padding", &["a.doc"], |p| dirty(p, |text| text.replace('=', ""))),
    ("base64 with a footer behind it", &["a.doc"], |p| {
        // The padding is what tells the end: three octets more would be none.
        let padded = if p.len() % 3 == 0 { "====" } else { "" };
        mixed(&attachment("a.doc", &format!("{}{padded}\n_______\nA list footer, http://example.com\n", base64(p))))
    }),
    ("base64 with characters above 0x7F", &["a.doc"], |p| dirty(p, |text| text.replace('z', "é z"))),
    ("base64 labelled 7bit", &["a.doc"], |p| mixed(&attachment("a.doc", &base64(p)).replace("base64", "7bit"))),
    ("base64 labelled 8bit, unnamed text", &[], |p| {
        mixed(&format!("Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n{}", base64(p)))
    }),
    ("base64 without a label", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("Content-Transfer-Encoding: base64\n", ""))
    }),
    ("base64 labelled quoted-printable", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("base64", "quoted-printable"))
    }),
    ("base64 label in capitals with white space", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace(": base64", "   :\t BASE64  "))
    }),
    ("base64 label misspelt", &["a.doc"], |p| mixed(&attachment("a.doc", &base64(p)).replace("base64", "base-64"))),
    ("base64 label with a comment", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("base64", "(7bit) base64 (really)"))
    }),
    ("base64 label folded", &["a.doc"], |p| mixed(&attachment("a.doc", &base64(p)).replace(" base64", "\n\tbase64"))),
    ("two labels, the first true", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("base64\n", "base64\nContent-Transfer-Encoding: 7bit\n"))
    }),
    ("two labels, the second true", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace(
            "Content-Transfer-Encoding",
            "Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding",
        ))
    }),
    ("an unknown label", &["a.doc"], |p| mixed(&attachment("a.doc", &base64(p)).replace("base64", "x-own"))),
    ("a label that names two", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("base64", "7bit, base64"))
    }),
];

const STRUCTURE: &[Row] = &[
    ("no closing delimiter", &["a.doc"], |p| {
        let raw = mixed(&attachment("a.doc", &base64(p)));
        raw[..raw.len() - "--b1--\r\n".len()].to_vec()
    }),
    ("a closing delimiter with a typing error", &["a.doc"], |p| {
        String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap().replace("--b1--", "--b2--").into_bytes()
    }),
    ("two boundary parameters, the first true", &["a.doc"], |p| {
        replaced(p, "boundary=\"b1\"", "boundary=\"b1\"; boundary=\"zz\"")
    }),
    ("two boundary parameters, the second true", &["a.doc"], |p| {
        replaced(p, "boundary=\"b1\"", "boundary=\"zz\"; boundary=\"b1\"")
    }),
    ("two content types, the first true", &["a.doc"], |p| {
        replaced(p, "boundary=\"b1\"\r\n", "boundary=\"b1\"\r\nContent-Type: text/plain\r\n")
    }),
    ("two content types, the second true", &["a.doc"], |p| {
        replaced(p, "Content-Type: multipart", "Content-Type: text/plain\r\nContent-Type: multipart")
    }),
    ("a boundary without quotes and with white space", &["a.doc"], |p| {
        replaced(p, "boundary=\"b1\"", "boundary = b1  ")
    }),
    ("a boundary in single quotes", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary='b1'")),
    ("a boundary whose quote never closes", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary=\"b1")),
    ("a boundary with a space at its end", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary=\"b1 \"")),
    ("a boundary in RFC 2231 pieces", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary*0=b; boundary*1=\"1\"")),
    ("a boundary percent-encoded", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary*=us-ascii''b%31")),
    ("a boundary in a comment before the true one", &["a.doc"], |p| {
        replaced(p, "boundary=\"b1\"", "(boundary=zz;) boundary=b1 (; boundary=yy)")
    }),
    ("an escaped boundary", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary=\"\\b\\1\"")),
    ("an empty boundary", &["a.doc"], |p| {
        let raw = String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap();
        raw.replace("--b1", "--").replace("\"b1\"", "\"\"").into_bytes()
    }),
    ("no boundary parameter", &["a.doc"], |p| replaced(p, "; boundary=\"b1\"", "")),
    ("delimiters that are not those declared", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary=\"other\"")),
    ("white space behind each delimiter", &["a.doc"], |p| replaced(p, "--b1\r\n", "--b1 \t \r\n")),
    ("a word behind the delimiter", &["a.doc"], |p| {
        replaced(p, "--b1\r\nContent-Type: app", "--b1 x\r\nContent-Type: app")
    }),
    ("a structure in a text/plain message", &["a.doc"], |p| replaced(p, "multipart/mixed", "text/plain")),
    ("a structure in a message without content type", &["a.doc"], |p| {
        replaced(p, "Content-Type: multipart/mixed; boundary=\"b1\"\r\n", "")
    }),
    ("no header at all", &["a.doc"], |p| {
        let raw = String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap();
        raw.as_bytes()[raw.find("--b1").unwrap()..].to_vec()
    }),
    ("no empty line behind the part's header", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("\n\n", "\n"))
    }),
    ("no empty line between text and attachment", &["a.doc"], |p| {
        let part = attachment("a.doc", &base64(p));
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: text/plain\nHello\n--b1\n{part}--b1--\n"
        ))
    }),
    ("a line of rubbish inside the part's header", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("Content-Transfer", "rubbish here\nContent-Transfer"))
    }),
    ("a line of white space inside the part's header", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("Content-Transfer", " \t\nContent-Transfer"))
    }),
    ("a boundary as an encoded word", &["a.doc"], |p| replaced(p, "boundary=\"b1\"", "boundary=\"=?us-ascii?Q?b1?=\"")),
    ("thirty content types before the true one", &["a.doc"], |p| {
        let others: String = (0..30).map(|i| format!("Content-Type: text/x{i}\r\n")).collect();
        replaced(p, "Content-Type: multipart", &(others + "Content-Type: multipart"))
    }),
    ("twenty thousand empty parts before it", &["a.doc"], |p| {
        replaced(p, "--b1\r\nContent-Type: app", &("--b1\r\n".repeat(20_000) + "--b1\r\nContent-Type: app"))
    }),
    ("a document that is called a multipart", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &base64(p)).replace("application/msword", "multipart/mixed"))
    }),
    ("a byte order mark at the top", &["a.doc"], |p| {
        [b"\xef\xbb\xbf".to_vec(), mixed(&attachment("a.doc", &base64(p)))].concat()
    }),
    ("an attachment in the preamble", &["a.doc"], |p| {
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\n\n{}\n{TEXT}--b1--\n",
            attachment("a.doc", &base64(p))
        ))
    }),
    ("an attachment in the epilogue", &["a.doc"], |p| {
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\n\n{TEXT}--b1--\n\n{}",
            attachment("a.doc", &base64(p))
        ))
    }),
    ("an attachment between delimiters behind the closing one", &["a.doc"], |p| {
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\n\n{TEXT}--b1--\n--b1\n{}\n--b1--\n",
            attachment("a.doc", &base64(p))
        ))
    }),
    ("an inner boundary that begins with the outer one", &["a.doc"], |p| {
        nested("b1", "b1x", &attachment("a.doc", &base64(p)))
    }),
    ("an outer boundary that begins with the inner one", &["a.doc"], |p| {
        nested("b1x", "b1", &attachment("a.doc", &base64(p)))
    }),
    ("the same boundary inside and outside", &["a.doc"], |p| nested("b1", "b1", &attachment("a.doc", &base64(p)))),
    ("a delimiter only in the middle of a line", &["a.doc"], |p| {
        replaced(p, "\r\n--b1\r\nContent-Type: app", "\r\nx --b1\r\nContent-Type: app")
    }),
    ("an encoded multipart, base64", &["a.doc"], |p| {
        let inner = crlf(&format!("{TEXT}--b1\n{}\n--b1--\n", attachment("a.doc", &base64(p))));
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\nContent-Transfer-Encoding: base64\n\n{}",
            base64(&inner)
        ))
    }),
    ("an encoded multipart, quoted-printable", &["a.doc"], |p| {
        let inner = crlf(&format!("{TEXT}--b1\n{}\n--b1--\n", attachment("a.doc", &base64(p))));
        crlf(&format!(
            "{TOP}Content-Type: multipart/mixed; boundary=b1\nContent-Transfer-Encoding: quoted-printable\n\n{}",
            quoted_printable(&inner)
        ))
    }),
    ("content type with white space before the colon", &["a.doc"], |p| {
        replaced(p, "Content-Type: multipart", "CONTENT-TYPE \t:multipart")
    }),
];

fn replaced(p: &[u8], from: &str, to: &str) -> Vec<u8> {
    let raw = String::from_utf8(mixed(&attachment("a.doc", &base64(p)))).unwrap();
    assert!(raw.contains(from), "{from}");
    raw.replace(from, to).into_bytes()
}

fn nested(outer: &str, inner: &str, part: &str) -> Vec<u8> {
    crlf(&format!(
        "{TOP}Content-Type: multipart/mixed; boundary={outer}\n\n--{outer}\nContent-Type: multipart/related; boundary={inner}\n\n--{inner}\nContent-Type: text/html\n\n<p>\n--{inner}\n{part}\n--{inner}--\n\n--{outer}--\n"
    ))
}

const ENCODINGS: &[Row] = &[
    ("quoted-printable", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &quoted_printable(p)).replace("base64", "quoted-printable"))
    }),
    ("quoted-printable in lower case with white space at the ends", &["a.doc"], |p| {
        let text = quoted_printable(p).to_lowercase().replace("=\n", "= \t\n");
        mixed(&attachment("a.doc", &text).replace("base64", "Quoted-Printable"))
    }),
    ("octets labelled binary", &["a.doc"], |p| mixed_raw(&attachment("a.doc", "@@@@").replace("base64", "binary"), p)),
    ("octets labelled 8bit", &["a.doc"], |p| mixed_raw(&attachment("a.doc", "@@@@").replace("base64", "8bit"), p)),
    ("octets labelled base64", &["a.doc"], |p| mixed_raw(&attachment("a.doc", "@@@@"), p)),
    ("octets without a label", &["a.doc"], |p| {
        mixed_raw(&attachment("a.doc", "@@@@").replace("Content-Transfer-Encoding: base64\n", ""), p)
    }),
    ("uuencode in a text", &["a.doc"], |p| crlf(&format!("{TOP}\nHello,\n\n{}\nBye\n", uuencode("a.doc", p)))),
    ("uuencode whose spaces were cut off", &["a.doc"], |p| {
        let text = uuencode("a.doc", p).replace('`', " ");
        let text: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        crlf(&format!("{TOP}\n{text}"))
    }),
    ("uuencode in a part", &["a.doc"], |p| {
        mixed(&attachment("a.doc", &uuencode("b.doc", p)).replace("base64", "x-uuencode"))
    }),
    ("uuencode in a base64 text", &["a.doc"], |p| {
        let text = base64(uuencode("a.doc", p).as_bytes());
        mixed(&format!("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{text}"))
    }),
    ("uuencode in the preamble", &["a.doc"], |p| {
        crlf(&format!("{TOP}Content-Type: multipart/mixed; boundary=b1\n\n{}\n{TEXT}--b1--\n", uuencode("a.doc", p)))
    }),
    ("begin-base64 in a text", &["a.doc"], |p| crlf(&format!("{TOP}\nbegin-base64 644 a.doc\n{}====\n", base64(p)))),
    ("yEnc in a text", &["a.doc"], |p| {
        let top = crlf(&format!("{TOP}\nHello\n"));
        [top, yencode("a.doc", p)].concat()
    }),
];

fn with_name(p: &[u8], parameter: &str) -> Vec<u8> {
    mixed(&format!(
        "Content-Type: application/msword\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;{parameter}\n\n{}",
        base64(p)
    ))
}

fn with_raw_name(p: &[u8], encoding: &'static Encoding) -> Vec<u8> {
    let raw = with_name(p, " filename=\"@@@@\"; x=y");
    let at = raw.windows(4).position(|w| w == b"@@@@").unwrap();
    [&raw[..at], &named(encoding, "表示能力の請求書.xlsm"), &raw[at + 4..]].concat()
}

const NAMES: &[Row] = &[
    ("RFC 2231 in pieces with a character set", &["請求書.xlsm"], |p| {
        with_name(p, "\n filename*0*=utf-8'ja'%E8%AB%8B%E6%B1;\n filename*1*=%82%E6%9B%B8;\n filename*2=\".xlsm\"")
    }),
    ("RFC 2231 in Shift_JIS", &["請求書.xlsm"], |p| with_name(p, " filename*=Shift_JIS''%90%BF%8B%81%8F%91.xlsm")),
    ("an encoded word in the parameter", &["請求書.xlsm"], |p| {
        with_name(p, " filename=\"=?UTF-8?B?6KuL5rGC5pu4Lnhsc20=?=\"")
    }),
    ("encoded words that cut a character", &["請求書.xlsm"], |p| {
        with_name(p, "\n filename=\"=?UTF-8?B?6KuL5rE=?=\n =?UTF-8?B?guabuC54bHNt?=\"")
    }),
    ("an encoded word in ISO-2022-JP", &["請求書.xlsm"], |p| {
        let word = BASE64.encode(&named(ISO_2022_JP, "請求書.xlsm"));
        with_name(p, &format!(" filename=\"=?ISO-2022-JP?B?{word}?=\""))
    }),
    ("an encoded word in Shift_JIS that says ISO-2022-JP", &["請求書.xlsm"], |p| {
        let word = BASE64.encode(&named(SHIFT_JIS, "請求書.xlsm"));
        with_name(p, &format!(" filename=\"=?ISO-2022-JP?B?{word}?=\""))
    }),
    ("a name in raw ISO-2022-JP", &["表示能力の請求書.xlsm"], |p| with_raw_name(p, ISO_2022_JP)),
    ("a name in raw Shift_JIS", &["表示能力の請求書.xlsm"], |p| with_raw_name(p, SHIFT_JIS)),
    ("a name in raw EUC-JP", &["表示能力の請求書.xlsm"], |p| with_raw_name(p, EUC_JP)),
    ("a name in raw UTF-8", &["表示能力の請求書.xlsm"], |p| with_raw_name(p, encoding_rs::UTF_8)),
    ("a name without quotes and with spaces", &["my invoice 1.doc"], |p| with_name(p, " filename=my invoice 1.doc")),
    ("a name whose quote never closes", &["my invoice.doc"], |p| with_name(p, " filename=\"my invoice.doc")),
    ("two names that disagree", &["a.txt", "b.docm"], |p| {
        mixed(&format!(
            "Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=b.docm\nContent-Transfer-Encoding: base64\n\n{}",
            base64(p)
        ))
    }),
    ("RFC 2231 against a plain name", &["a.txt", "b.docm"], |p| {
        with_name(p, " filename=\"a.txt\"; filename*=utf-8''b.docm")
    }),
    ("one parameter twice", &["a.txt", "b.docm"], |p| with_name(p, " filename=\"a.txt\"; filename=\"b.docm\"")),
    ("two dispositions", &["a.txt", "b.docm"], |p| {
        with_name(p, " filename=\"a.txt\"\nContent-Disposition: attachment; filename=b.docm")
    }),
];

fn wrapped(inner: &[u8], header: &str, body: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut raw = crlf(&format!(
        "{TOP}Content-Type: multipart/mixed; boundary=o1\n\n--o1\nContent-Type: message/rfc822\n{header}\n"
    ));
    raw.extend(body(inner));
    raw.extend(b"\r\n--o1--\r\n");
    raw
}

const NESTED: &[Row] = &[
    ("eight levels of multiparts", &["a.doc"], |p| {
        let mut part = attachment("a.doc", &base64(p));
        for level in 0..8 {
            part = format!("Content-Type: multipart/mixed; boundary=n{level}\n\n--n{level}\n{part}\n--n{level}--\n");
        }
        crlf(&format!("{TOP}{part}"))
    }),
    ("eight levels of messages", &["a.doc"], |p| {
        let mut raw = mixed(&attachment("a.doc", &base64(p)));
        for level in 0..8 {
            let boundary = format!("m{level}");
            let top = crlf(&format!(
                "{TOP}Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\nContent-Type: message/rfc822\n\n"
            ));
            raw = [top, raw, format!("\r\n--{boundary}--\r\n").into_bytes()].concat();
        }
        raw
    }),
    ("eight levels of messages without multiparts", &["a.doc"], |p| {
        let mut raw = mixed(&attachment("a.doc", &base64(p)));
        for _ in 0..8 {
            raw = [crlf(&format!("{TOP}Content-Type: message/rfc822\n\n")), raw].concat();
        }
        raw
    }),
    ("a message in base64", &["a.doc"], |p| {
        wrapped(&mixed(&attachment("a.doc", &base64(p))), "Content-Transfer-Encoding: base64\n", |inner| {
            crlf(&base64(inner))
        })
    }),
    ("a message in quoted-printable", &["a.doc"], |p| {
        wrapped(&mixed(&attachment("a.doc", &base64(p))), "Content-Transfer-Encoding: quoted-printable\n", |inner| {
            crlf(&quoted_printable(inner))
        })
    }),
    ("a message labelled base64 that is not encoded", &["a.doc"], |p| {
        wrapped(&mixed(&attachment("a.doc", &base64(p))), "Content-Transfer-Encoding: base64\n", |inner| inner.to_vec())
    }),
    ("a message with the boundary of the one around it", &["a.doc"], |p| {
        let inner = String::from_utf8(mixed(&attachment("a.doc", &base64(p))))
            .unwrap()
            .replace("--b1", "--o1")
            .replace("\"b1\"", "o1");
        wrapped(inner.as_bytes(), "", |inner| inner.to_vec())
    }),
    ("a message attached as application/octet-stream", &["a.doc"], |p| {
        let inner = mixed(&attachment("a.doc", &base64(p)));
        mixed(&attachment("forwarded.dat", &base64(&inner)))
    }),
    ("an .eml that is not declared as a message", &["a.doc"], |p| {
        let inner = crlf(&format!("Subject: x\n{}", attachment("a.doc", &base64(p))));
        mixed(&attachment("x.eml", &base64(&inner)))
    }),
    ("a digest", &["a.doc"], |p| {
        let inner = mixed(&attachment("a.doc", &base64(p)));
        let top = crlf(&format!("{TOP}Content-Type: multipart/digest; boundary=d1\n\n--d1\n\n"));
        [top, inner, b"\r\n--d1--\r\n".to_vec()].concat()
    }),
    ("a bounce that quotes the message in its text", &["a.doc"], |p| {
        let inner = mixed(&attachment("a.doc", &base64(p)));
        [crlf(&format!("{TOP}\nCould not deliver.\n\n--- Below this line is a copy of the message.\n\n")), inner]
            .concat()
    }),
];
