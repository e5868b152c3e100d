//! Who hands a message over, from whom, to whom: the SMTP envelope, octet for octet.
//!
//! Paths and parameters are kept as received (RFC 5321 4.1.2: quoted local parts, literals, source
//! routes, UTF-8), since they go to the next hop unchanged; what rules and logs read is derived.

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Octets from a peer that are mostly text. Serialised as a string where they are UTF-8, else as
/// `base64:…`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Octets(pub Vec<u8>);

const BASE64_MARK: &str = "base64:";

impl Octets {
    /// As text; invalid octets are U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl From<&str> for Octets {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl Serialize for Octets {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with(BASE64_MARK) => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("{BASE64_MARK}{}", BASE64.encode(&self.0))),
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(BASE64_MARK) {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).map(Self).map_err(serde::de::Error::custom),
            None => Ok(Self(text.into_bytes())),
        }
    }
}

/// The argument of MAIL or RCPT: a path and its ESMTP parameters, as received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Path {
    /// With its angle brackets where the client sent them: `<user@example.jp>`, `<>`.
    pub path: Octets,
    /// Everything behind the path, without the leading space; empty if there is nothing.
    #[serde(default)]
    pub parameters: Octets,
}

impl Path {
    /// A path without parameters.
    pub fn new(path: impl Into<Octets>) -> Self {
        Self { path: path.into(), parameters: Octets::default() }
    }

    /// The address for rules and logs: without brackets and source route, lower case
    /// (local parts are case-sensitive by RFC 5321 2.4, but no admin writes rules that way).
    /// The null sender is the empty string.
    pub fn address(&self) -> String {
        let text = self.path.text();
        let inner = text.trim().trim_start_matches('<').trim_end_matches('>');
        let mailbox = match inner.strip_prefix('@') {
            Some(route) => route.split_once(':').map_or(inner, |(_, mailbox)| mailbox),
            None => inner,
        };
        mailbox.to_lowercase()
    }

    /// The lower-case domain of the address, if it has one.
    pub fn domain(&self) -> Option<String> {
        self.address().rsplit_once('@').map(|(_, domain)| domain.to_owned())
    }
}

/// The client that Postfix (or another server in front) saw, from XFORWARD, or the peer itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address; `None` on a Unix socket without XFORWARD.
    pub addr: Option<IpAddr>,
    /// Its host name, as forwarded.
    pub name: Option<String>,
    /// What it said in HELO or EHLO.
    pub helo: Option<String>,
}

/// Everything about a message that is not in the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Where it came from.
    pub client: Client,
    /// The queue id of the server in front (XFORWARD IDENT), if told.
    pub queue_id: Option<String>,
    /// MAIL FROM.
    pub sender: Path,
    /// The recipients that the next hop accepted.
    pub recipients: Vec<Path>,
    /// XFORWARD attributes as received (name upper case, value still xtext), in order: sent on before MAIL.
    #[serde(default)]
    pub xforward: Vec<(String, Octets)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_rules() {
        let address = |path: &str| Path::new(path).address();
        assert_eq!(address("<User@Example.JP>"), "user@example.jp");
        assert_eq!(address("<@a.example,@b.example:user@c.example>"), "user@c.example");
        assert_eq!(address("<>"), "");
        assert_eq!(Path::new("<>").domain(), None);
    }

    #[test]
    fn octets_survive_json() {
        for octets in [&b"<user@example.jp>"[..], b"<\xff\xfe@x>", b"base64:x", b""] {
            let json = serde_json::to_string(&Octets::from(octets)).unwrap();
            assert_eq!(serde_json::from_str::<Octets>(&json).unwrap().0, octets);
        }
    }
}
