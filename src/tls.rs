//! TLS for connections of both sides (rustls with ring): certificates of our own, and whom to believe
//! at the next hop. Files are read when the configuration is; what is wrong with them is said there.
//!
//! Not here: STARTTLS itself (RFC 3207), which is a command of [`crate::smtp`]; client certificates.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme};

/// Largest file of certificates. A bundle of all public roots has some 250 KB.
const MAX_FILE: u64 = 4 << 20;

/// Our certificate with its key.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Any two are equal: what is compared is how a listener is set up, and a renewed certificate changes nothing of that.
impl PartialEq for Identity {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// What is wrong with a certificate, and where the cause is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadIdentity {
    /// In the file of certificates.
    Certificate(String),
    /// In the file of the key.
    Key(String),
}

impl Identity {
    /// Reads a certificate (with those between it and a root behind it) and its key, both PEM.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, or the key is not that of the certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, BadIdentity> {
        let chain = certificates(certificate).map_err(BadIdentity::Certificate)?;
        let octets = read(key).map_err(BadIdentity::Key)?;
        let private = PrivateKeyDer::from_pem_slice(&octets)
            .map_err(|_| BadIdentity::Key(format!("{} holds no private key in PEM form", key.display())))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| BadIdentity::Certificate(error.to_string()))?;
        let config = builder.with_no_client_auth().with_single_cert(chain, private);
        let (certificate, key) = (certificate.display(), key.display());
        let config = config.map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                BadIdentity::Key(format!("the key in {key} is not that of the certificate in {certificate}"))
            }
            Error::InvalidCertificate(error) => {
                BadIdentity::Certificate(format!("the certificate in {certificate} cannot be used: {error:?}"))
            }
            error => BadIdentity::Key(format!("the key in {key} cannot be used: {error}")),
        })?;
        Ok(Self(Arc::new(config)))
    }

    /// For a handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

/// How to speak TLS to a next hop.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// As for [`Identity`]: renewed roots are no other setting.
impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Connector {}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.name)
    }
}

impl Connector {
    /// Takes any certificate: nobody can read along, but the next hop may be somebody else.
    ///
    /// # Errors
    /// As the library says.
    pub fn trusting(name: ServerName<'static>) -> Result<Self, String> {
        let provider = provider();
        let verifier = Arc::new(TakeAny(Arc::clone(&provider)));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }

    /// Takes only a certificate in this name that leads to one of the roots in `ca` (PEM), or of the
    /// system's.
    ///
    /// # Errors
    /// The file cannot be read or holds something else; there are no roots.
    pub fn verifying(ca: Option<&Path>, name: ServerName<'static>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(file) => {
                for certificate in certificates(file)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| format!("a certificate in {} cannot be used: {error}", file.display()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err("the system has no root certificates".to_owned());
        }
        let provider = provider();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| error.to_string())?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let config = builder.with_webpki_verifier(verifier).with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }

    /// For a handshake.
    pub fn config(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        (Arc::clone(&self.config), self.name.clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a PEM file, one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let octets = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} holds no certificate in PEM form", file.display())),
        Err(error) => Err(format!("{} is damaged: {error}", file.display())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut octets));
    if octets.len() as u64 > MAX_FILE {
        let most = MAX_FILE >> 20;
        return Err(format!("{} has more than {most} MiB; is it a certificate or key in PEM form?", file.display()));
    }
    read.map(|_| octets).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; is the path right?",
            io::ErrorKind::PermissionDenied => "; let the user that Sekisho runs as read it (chgrp, chmod)",
            _ => "",
        };
        format!("{} cannot be read: {error}{advice}", file.display())
    })
}

/// Takes any certificate whose key the next hop has.
#[derive(Debug)]
struct TakeAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_limit_is_an_error_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cert.pem");
        for (size, is_read) in [(MAX_FILE - 1, true), (MAX_FILE, true), (MAX_FILE + 1, false)] {
            std::fs::write(&file, vec![b'\n'; size as usize]).unwrap();
            assert_eq!(read(&file).is_ok(), is_read, "{size}");
        }
        assert!(read(&file).unwrap_err().contains("has more than 4 MiB"));
    }
}
