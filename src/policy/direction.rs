//! Which way a message goes.

use std::net::IpAddr;

use crate::config::Mail;
use crate::envelope::Path;
use crate::policy::facts::Direction;

/// The direction of a message, by `[mail] local_networks` and `local_domains`.
///
/// The sender's domain does not count: anybody can write it. A client that is not known (mail
/// handed over on a Unix socket, without XFORWARD) is as good as local only if the mail stays here.
pub fn direction(client: Option<IpAddr>, _sender: &Path, recipients: &[Path], mail: &Mail) -> Direction {
    let stays = !recipients.is_empty() && recipients.iter().all(|recipient| is_local(recipient, &mail.local_domains));
    match client.map(|client| is_in(client, &mail.local_networks)) {
        Some(true) if !stays => Direction::Outbound,
        Some(true) | None if stays => Direction::Internal,
        Some(_) | None => Direction::Inbound,
    }
}

/// Whether `client` is in one of `networks`; an IPv4 address is one however it is written.
pub fn is_in(client: IpAddr, networks: &[ipnet::IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&client.to_canonical()))
}

/// A recipient without a domain is this host's own (RFC 5321 4.5.1: postmaster).
fn is_local(recipient: &Path, local_domains: &[String]) -> bool {
    let Some(domain) = recipient.domain() else { return true };
    let domain = domain.trim_end_matches('.');
    local_domains.iter().any(|local| match local.strip_prefix("*.") {
        Some(parent) => domain.strip_suffix(parent).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
        None => domain == local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_a_message_can_go() {
        let mail = Mail {
            local_domains: vec!["example.jp".to_owned(), "*.example.jp".to_owned()],
            local_networks: vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
            ..Mail::default()
        };
        let ours = "<a@example.jp>";
        for (client, recipients, expected) in [
            (Some("192.0.2.1"), &[ours][..], Direction::Inbound),
            (Some("192.0.2.1"), &["<x@other.example>"], Direction::Inbound),
            (Some("10.1.2.3"), &[ours, "<b@sub.example.jp>"], Direction::Internal),
            (Some("::ffff:10.1.2.3"), &[ours], Direction::Internal),
            (Some("::1"), &[ours], Direction::Inbound),
            (Some("10.1.2.3"), &[ours, "<x@other.example>"], Direction::Outbound),
            (Some("10.1.2.3"), &["<x@evilexample.jp>"], Direction::Outbound),
            (Some("10.1.2.3"), &["<x@.example.jp>"], Direction::Outbound),
            (Some("10.1.2.3"), &["<Postmaster>"], Direction::Internal),
            (Some("10.1.2.3"), &[], Direction::Outbound),
            (None, &[ours], Direction::Internal),
            (None, &["<x@other.example>"], Direction::Inbound),
        ] {
            let paths: Vec<Path> = recipients.iter().map(|path| Path::new(*path)).collect();
            let client = client.map(|client| client.parse().unwrap());
            assert_eq!(direction(client, &Path::new(ours), &paths, &mail), expected, "{client:?} {recipients:?}");
        }
    }
}
