//! Who signed a project, by the certificate in its signature ([MS-OSHARED] 2.3.2; a PKCS #7 SignedData, RFC 5652).
//!
//! A fact for people, which makes nothing better: the signature is not verified, and whoever steals a
//! certificate or makes one can sign.

use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier};
use der::{Decode, SliceReader};
use memchr::memmem;

use crate::finding;
use crate::part::Part;
use crate::scan::Scan;

/// The object identifier of SignedData, 1.2.840.113549.1.7.2, as DER: what precedes it differs by kind of file.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// Octets of a signature that are looked at: one with a chain of certificates and a time stamp has some 10 KB.
const MAX_SIGNATURE: usize = 256 << 10;
/// Places that may begin a signature and are tried.
const MAX_TRIES: usize = 8;

/// What the certificate of a signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Of whom (RFC 4514).
    pub subject: String,
    /// By whom it was issued; the same for one that somebody made for themselves.
    pub issuer: String,
    /// From when it is valid, as UTC.
    pub from: String,
    /// Until when.
    pub until: String,
}

/// Reports who signed, if `content` holds a signature.
pub fn examine(content: &[u8], location: &str, part: &Part, scan: &mut Scan) {
    if let Some(Signer { subject, issuer, from, until }) = signer(content) {
        let by = if issuer == subject { "by itself".to_owned() } else { format!("by {issuer}") };
        scan.finding(finding::VBA_SIGNED, part, location, &format!("{subject}; certified {by}, {from} to {until}"));
    }
}

/// The signer of the first signature in `content` that can be read.
pub fn signer(content: &[u8]) -> Option<Signer> {
    let content = content.get(..MAX_SIGNATURE).unwrap_or(content);
    memmem::find_iter(content, SIGNED_DATA).take(MAX_TRIES).find_map(|at| {
        // The sequence around the identifier: its tag, and a length of one to five octets.
        (2..=6).find_map(|header| signed_by(content.get(at.checked_sub(header)?..)?))
    })
}

fn signed_by(octets: &[u8]) -> Option<Signer> {
    let mut reader = SliceReader::new(octets).ok()?;
    let info = ContentInfo::decode(&mut reader).ok()?;
    let signed: SignedData = info.content.decode_as().ok()?;
    let signer = &signed.signer_infos.0.as_slice().first()?.sid;
    let certificates = signed.certificates.as_ref()?.0.iter().filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    });
    let is_meant = |certificate: &&Certificate| match signer {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            let own = &certificate.tbs_certificate;
            own.issuer == id.issuer && own.serial_number == id.serial_number
        }
        // Of several certificates, the signer's is first as a rule.
        SignerIdentifier::SubjectKeyIdentifier(_) => true,
    };
    let certificate = &certificates.into_iter().find(is_meant)?.tbs_certificate;
    Some(Signer {
        subject: certificate.subject.to_string(),
        issuer: certificate.issuer.to_string(),
        from: certificate.validity.not_before.to_string(),
        until: certificate.validity.not_after.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_MIME;

    use super::*;

    /// Made for this test, with a key that nobody has.
    const SIGNATURE: &str = include_str!("../../tests/common/signature.base64");

    fn signature() -> Vec<u8> {
        BASE64_MIME.decode(SIGNATURE.as_bytes()).unwrap()
    }

    #[test]
    fn the_signer_is_read_wherever_the_signature_stands() {
        let expected = Signer {
            subject: "CN=Macro Signer,O=Example KK,C=JP".to_owned(),
            issuer: "CN=Macro Signer,O=Example KK,C=JP".to_owned(),
            from: "2026-11-23T08:49:32Z".to_owned(),
            until: "2036-11-20T08:49:32Z".to_owned(),
        };
        for prefix in [&b""[..], b"\x08\0\0\0header", b"\x30\x82", SIGNED_DATA] {
            let content = [prefix, &signature(), b"\0\0rest"].concat();
            assert_eq!(signer(&content).as_ref(), Some(&expected), "{prefix:?}");
        }
        assert_eq!(signer(b""), None);
        assert_eq!(signer(SIGNED_DATA), None);
    }

    #[test]
    fn a_damaged_signature_is_none_or_another_one() {
        let whole = signature();
        for length in 0..whole.len() {
            let _ = signer(&whole[..length]);
        }
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut damaged = whole.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..damaged.len());
                damaged[at] = random.u8(..);
            }
            let _ = signer(&damaged);
        }
    }
}
