//! One command line of a client (RFC 5321 4.1, RFC 1870, RFC 3461, RFC 3207, XFORWARD_README,
//! XCLIENT_README), octets as received.
//!
//! Parameters are parsed only as far as somebody here must know them; what they mean for this
//! session and this next hop is the session's business.

use std::net::IpAddr;

use crate::envelope::{Octets, Path};
use crate::smtp::reply::Reply;

/// The XFORWARD attributes (Postfix XFORWARD_README), all of which are taken.
pub const XFORWARD_ATTRIBUTES: [&str; 7] = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];
/// The XCLIENT attributes (Postfix XCLIENT_README), all of which are taken.
pub const XCLIENT_ATTRIBUTES: [&str; 8] = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"];
/// Octets of an XFORWARD value, decoded, and of the whole line with CRLF (XFORWARD_README).
const MAX_XFORWARD_VALUE: usize = 255;
/// As above.
pub const MAX_XFORWARD_LINE: usize = 512;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// EHLO with its argument.
    Ehlo(Octets),
    /// HELO with its argument.
    Helo(Octets),
    /// LHLO with its argument (RFC 2033 4.1).
    Lhlo(Octets),
    /// MAIL FROM.
    Mail(Path),
    /// RCPT TO.
    Rcpt(Path),
    /// DATA
    Data,
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// HELP
    Help,
    /// VRFY
    Vrfy,
    /// QUIT
    Quit,
    /// XFORWARD: names in upper case, values still xtext.
    Xforward(Vec<(String, Octets)>),
    /// XCLIENT: as XFORWARD.
    Xclient(Vec<(String, Octets)>),
    /// STARTTLS
    StartTls,
    /// A command of SMTP that is not offered here.
    NotOffered,
}

/// Parses one line without its line end.
///
/// # Errors
/// The reply that refuses it.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    if line.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')) {
        // Passed on, a bare CR would become a second command for whoever reads it as a line end.
        return Err(Reply::new(500, "5.5.2 NUL or bare CR in a command"));
    }
    let line = line.trim_ascii_end();
    let end = line.iter().position(|&octet| octet == b' ' || octet == b'\t').unwrap_or(line.len());
    let (verb, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    let argument = rest.trim_ascii();
    match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => hello("EHLO", argument).map(Command::Ehlo),
        b"HELO" => hello("HELO", argument).map(Command::Helo),
        b"LHLO" => hello("LHLO", argument).map(Command::Lhlo),
        b"MAIL" => path(argument, b"FROM:").map(Command::Mail),
        b"RCPT" => recipient(argument).map(Command::Rcpt),
        b"DATA" => alone(argument, Command::Data),
        b"RSET" => alone(argument, Command::Rset),
        b"QUIT" => alone(argument, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" if argument.is_empty() => Err(bad_argument("VRFY address")),
        b"VRFY" => Ok(Command::Vrfy),
        b"XFORWARD" => attributes("XFORWARD", line.len(), argument, is_xforward).map(Command::Xforward),
        b"XCLIENT" => attributes("XCLIENT", line.len(), argument, is_xclient).map(Command::Xclient),
        b"STARTTLS" => alone(argument, Command::StartTls),
        b"EXPN" | b"ETRN" | b"TURN" | b"ATRN" | b"AUTH" | b"BDAT" | b"SEND" | b"SOML" | b"SAML" => {
            Ok(Command::NotOffered)
        }
        _ => Err(Reply::new(500, "5.5.2 command not recognized")),
    }
}

/// One ESMTP parameter: keyword in upper case, value if there was a `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// As sent, `KEYWORD=value`.
    pub octets: &'a [u8],
    /// In upper case.
    pub keyword: String,
    /// Behind the `=`.
    pub value: Option<&'a [u8]>,
}

/// The parameters of a MAIL or RCPT whose syntax [`parse`] has checked.
pub fn parameters(path: &Path) -> impl Iterator<Item = Parameter<'_>> {
    path.parameters.0.split(|&octet| octet == b' ').filter(|octets| !octets.is_empty()).map(parameter)
}

fn parameter(octets: &[u8]) -> Parameter<'_> {
    let at = octets.iter().position(|&octet| octet == b'=');
    let (keyword, value) = match at.and_then(|at| octets.split_at_checked(at)) {
        Some((keyword, value)) => (keyword, value.get(1..)),
        None => (octets, None),
    };
    Parameter { octets, keyword: String::from_utf8_lossy(keyword).to_ascii_uppercase(), value }
}

fn hello(verb: &str, argument: &[u8]) -> Result<Octets, Reply> {
    if argument.is_empty() {
        return Err(bad_argument(&format!("{verb} hostname")));
    }
    Ok(Octets::from(argument))
}

fn alone(argument: &[u8], command: Command) -> Result<Command, Reply> {
    if argument.is_empty() { Ok(command) } else { Err(Reply::new(501, "5.5.4 no argument allowed")) }
}

fn bad_argument(syntax: &str) -> Reply {
    Reply::new(501, &format!("5.5.4 syntax: {syntax}"))
}

fn recipient(argument: &[u8]) -> Result<Path, Reply> {
    let path = path(argument, b"TO:")?;
    if path.path.0 == b"<>" {
        return Err(Reply::new(501, "5.1.3 a recipient has an address"));
    }
    Ok(path)
}

/// `FROM:<path> parameters`. A space behind the colon and a path without brackets are taken, as
/// Postfix takes them; the path itself stays octet for octet.
fn path(argument: &[u8], keyword: &[u8]) -> Result<Path, Reply> {
    let bad = || bad_argument(if keyword == b"TO:" { "RCPT TO:<address>" } else { "MAIL FROM:<address>" });
    let (head, rest) = argument.split_at_checked(keyword.len()).ok_or_else(bad)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(bad());
    }
    let rest = rest.trim_ascii_start();
    let end = path_end(rest).ok_or_else(bad)?;
    let (path, rest) = rest.split_at_checked(end).ok_or_else(bad)?;
    if path.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return Err(bad());
    }
    let path = Path { path: Octets::from(path), parameters: Octets::from(rest.trim_ascii()) };
    if parameters(&path).all(|parameter| is_esmtp(&parameter)) {
        Ok(path)
    } else {
        Err(Reply::new(501, "5.5.4 malformed parameter"))
    }
}

/// Where a path ends: behind the `>` that is not inside a quoted string (RFC 5321 4.1.2), or
/// without brackets at the first space outside one. `None` if it never does.
fn path_end(octets: &[u8]) -> Option<usize> {
    let bracketed = octets.first() == Some(&b'<');
    let (mut quoted, mut escaped) = (false, false);
    for (index, &octet) in octets.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if bracketed && !quoted => return index.checked_add(1),
            b' ' if !bracketed && !quoted => return Some(index),
            _ => {}
        }
    }
    (!bracketed && !quoted).then_some(octets.len())
}

/// RFC 5321 4.1.2: esmtp-param; UTF-8 in values by RFC 6531 3.3.
fn is_esmtp(parameter: &Parameter<'_>) -> bool {
    let keyword = parameter.keyword.as_bytes();
    keyword.first().is_some_and(u8::is_ascii_alphanumeric)
        && keyword.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
        && parameter.value.is_none_or(|value| {
            !value.is_empty() && value.iter().all(|octet| !octet.is_ascii_control() && *octet != b'=')
        })
}

/// The attributes of XFORWARD or XCLIENT.
fn attributes(
    verb: &str,
    length: usize,
    argument: &[u8],
    is_good: fn(&str, &[u8]) -> bool,
) -> Result<Vec<(String, Octets)>, Reply> {
    if length > MAX_XFORWARD_LINE.saturating_sub(2) {
        return Err(Reply::new(501, &format!("5.5.4 {verb} line too long")));
    }
    let mut attributes = Vec::new();
    for word in argument.split(|&octet| octet == b' ').filter(|word| !word.is_empty()) {
        let Parameter { octets: _, keyword, value } = parameter(word);
        let value = value.filter(|value| is_xforward_value(value));
        match value {
            Some(value) if is_good(&keyword, value) => attributes.push((keyword, Octets::from(value))),
            _ => return Err(Reply::new(501, &format!("5.5.4 bad {verb} attribute"))),
        }
    }
    if attributes.is_empty() { Err(bad_argument(&format!("{verb} attribute=value..."))) } else { Ok(attributes) }
}

/// What a Postfix behind us would refuse is refused here: passed on, it would cost the message (XFORWARD_README).
fn is_xforward(keyword: &str, value: &[u8]) -> bool {
    let decoded = decode_xtext(value).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    let unknown = is_unknown(&decoded);
    match keyword {
        "ADDR" => unknown || parse_address(&decoded).is_some(),
        "PORT" => unknown || is_port(&decoded),
        "SOURCE" => unknown || matches!(decoded.to_ascii_uppercase().as_str(), "LOCAL" | "REMOTE"),
        _ => XFORWARD_ATTRIBUTES.contains(&keyword),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// XCLIENT decides who the client is, so its values are looked at.
fn is_xclient(keyword: &str, value: &[u8]) -> bool {
    let Some(decoded) = decode_xtext(value).and_then(|octets| String::from_utf8(octets).ok()) else { return false };
    let unknown = is_unknown(&decoded);
    match keyword {
        "NAME" | "HELO" | "LOGIN" => true,
        "ADDR" | "DESTADDR" => unknown || parse_address(&decoded).is_some(),
        "PORT" | "DESTPORT" => unknown || is_port(&decoded),
        "PROTO" => unknown || matches!(decoded.to_ascii_uppercase().as_str(), "SMTP" | "ESMTP"),
        _ => false,
    }
}

/// Whether a value says that nothing is known.
pub fn is_unknown(value: &str) -> bool {
    ["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// `192.0.2.1` or `IPv6:2001:db8::1`
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let prefixed = text.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("IPv6:"));
    let address = if prefixed { text.get(5..)? } else { text };
    address.parse().ok()
}

fn is_xforward_value(value: &[u8]) -> bool {
    decode_xtext(value).is_some_and(|decoded| !decoded.is_empty() && decoded.len() <= MAX_XFORWARD_VALUE)
}

/// Decodes xtext (RFC 3461 4). `None` if it is none.
pub fn decode_xtext(xtext: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(xtext.len());
    let mut octets = xtext.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'+' => {
                let digits = [*octets.next()?, *octets.next()?];
                if digits.iter().any(u8::is_ascii_lowercase) {
                    return None;
                }
                let text = std::str::from_utf8(&digits).ok()?;
                // from_str_radix would take a sign.
                let octet =
                    u8::from_str_radix(text, 16).ok().filter(|_| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
                decoded.push(octet);
            }
            b'!'..=b'~' if octet != b'=' => decoded.push(octet),
            _ => return None,
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(path: &str, parameters: &str) -> Command {
        Command::Mail(Path { path: Octets::from(path), parameters: Octets::from(parameters) })
    }

    #[test]
    fn commands_that_are_understood() {
        let rows: &[(&str, Command)] = &[
            ("ehlo Mx.example.jp", Command::Ehlo(Octets::from("Mx.example.jp"))),
            ("HELO  [192.0.2.1] ", Command::Helo(Octets::from("[192.0.2.1]"))),
            ("lhlo a", Command::Lhlo(Octets::from("a"))),
            ("MAIL FROM:<>", mail("<>", "")),
            ("mail from:<A@b> size=10  BODY=8BITMIME ", mail("<A@b>", "size=10  BODY=8BITMIME")),
            ("MAIL FROM: <a@b>", mail("<a@b>", "")),
            ("MAIL FROM:a@b SIZE=1", mail("a@b", "SIZE=1")),
            (r#"MAIL FROM:<"a> b\"\\"@c> RET=HDRS"#, mail(r#"<"a> b\"\\"@c>"#, "RET=HDRS")),
            (r#"MAIL FROM:"a b"@c RET=HDRS"#, mail(r#""a b"@c"#, "RET=HDRS")),
            ("MAIL FROM:<@a,@b:c@d>", mail("<@a,@b:c@d>", "")),
            ("MAIL FROM:<関所@例え.jp> SMTPUTF8", mail("<関所@例え.jp>", "SMTPUTF8")),
            ("rcpt TO:<a@[IPv6:::1]>", Command::Rcpt(Path::new("<a@[IPv6:::1]>"))),
            ("data", Command::Data),
            ("DATA ", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP whatever", Command::Noop),
            ("HELP me", Command::Help),
            ("VRFY a", Command::Vrfy),
            ("qUIT", Command::Quit),
            ("STARTTLS", Command::StartTls),
            ("xclient addr=IPV6:::1", Command::Xclient(vec![("ADDR".to_owned(), Octets::from("IPV6:::1"))])),
            ("BDAT 5 LAST", Command::NotOffered),
            (
                "XFORWARD name=spike.example ADDR=IPv6:::1",
                Command::Xforward(vec![
                    ("NAME".to_owned(), Octets::from("spike.example")),
                    ("ADDR".to_owned(), Octets::from("IPv6:::1")),
                ]),
            ),
        ];
        for (line, command) in rows {
            assert_eq!(parse(line.as_bytes()).as_ref(), Ok(command), "{line}");
        }
    }

    #[test]
    fn commands_that_are_refused() {
        let long = format!("XFORWARD NAME={}", "x".repeat(256));
        let rows: &[(&str, u16)] = &[
            ("", 500),
            ("  ", 500),
            ("FROBNICATE", 500),
            ("MAILFROM:<a@b>", 500),
            ("関所", 500),
            ("NOOP a\0b", 500),
            ("NOOP a\rRSET", 500),
            ("MAIL FROM:<a@b>\rRCPT TO:<c@d>", 500),
            ("QUIT\r", 500),
            ("EHLO", 501),
            ("MAIL", 501),
            ("MAIL FROM:", 501),
            ("MAIL FROM <a@b>", 501),
            ("MAIL TO:<a@b>", 501),
            ("MAIL FROM:<a@b", 501),
            ("MAIL FROM:<a@b>x", 501),
            (r#"MAIL FROM:<"a@b>"#, 501),
            ("MAIL FROM:<a@b> =5", 501),
            ("MAIL FROM:<a@b> SIZE=", 501),
            ("MAIL FROM:<a@b> S_IZE=1", 501),
            ("MAIL FROM:<a@b> X=1=2", 501),
            ("RCPT TO:<>", 501),
            ("RCPT FROM:<a@b>", 501),
            ("DATA now", 501),
            ("RSET x", 501),
            ("QUIT x", 501),
            ("VRFY", 501),
            ("XFORWARD", 501),
            ("STARTTLS now", 501),
            ("XCLIENT", 501),
            ("XCLIENT IDENT=1", 501),
            ("XCLIENT ADDR=there", 501),
            ("XCLIENT PORT=65536", 501),
            ("XCLIENT PROTO=http", 501),
            ("XFORWARD FOO=bar", 501),
            ("XFORWARD ADDR=there", 501),
            ("XFORWARD ADDR=192.0.2", 501),
            ("XFORWARD PORT=65536", 501),
            ("XFORWARD PORT=+2B25", 501),
            ("XFORWARD SOURCE=elsewhere", 501),
            ("XFORWARD NAME", 501),
            ("XFORWARD NAME=", 501),
            ("XFORWARD NAME=a=b", 501),
            ("XFORWARD NAME=a+2", 501),
            ("XFORWARD NAME=a++1", 501),
            ("XFORWARD NAME=a+zz", 501),
            ("XFORWARD NAME=関", 501),
            (&long, 501),
        ];
        for (line, code) in rows {
            let reply = parse(line.as_bytes()).expect_err(line);
            assert_eq!(reply.code(), *code, "{line:?}");
        }
    }

    #[test]
    fn xforward_limits_hold_at_and_above() {
        let parse = |text: String| parse(text.as_bytes()).map_err(|reply| reply.code());
        assert!(parse(format!("XFORWARD NAME={}", "x".repeat(255))).is_ok());
        // 255 octets, each three characters as xtext, would fit the value but not the line.
        assert_eq!(parse(format!("XFORWARD NAME={}", "+41".repeat(255))), Err(501));
        let line = |padding| format!("XFORWARD NAME={} HELO={}", "x".repeat(250), "x".repeat(padding));
        assert_eq!(line(510 - line(0).len()).len(), 510);
        assert!(parse(line(510 - line(0).len())).is_ok());
        assert_eq!(decode_xtext(b"a+2Bb"), Some(b"a+b".to_vec()));
        assert_eq!(decode_xtext(b"a+2bb"), None);
    }
}
