//! A certificate and its key, from files.

use std::fs;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, select_next_proto};
use openssl::x509::X509;

/// What a client may choose after the handshake.
const PROTOCOLS: &[u8] = b"\x08http/1.1";

/// Reads a certificate with its chain, and its private key. Both are PEM. TLS 1.2 and 1.3 are spoken, as Mozilla's intermediate profile says.
///
/// # Errors
/// Sentences that say what is wrong with which file.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<SslAcceptor, String> {
    let chain = read_chain(certificate)?;
    let private = read_key(key)?;
    let Some((leaf, above)) = chain.split_first() else {
        return Err(format!(
            "the certificate file {} has no certificate: it must be PEM, with the server's certificate first",
            certificate.display()
        ));
    };
    let public = leaf.public_key().map_err(|error| {
        format!(
            "the certificate in {} has no usable key: {error}",
            certificate.display()
        )
    })?;
    if !public.public_eq(&private) {
        return Err(format!(
            "the key in {} is not that of the first certificate in {}: give the files of one pair; the server's certificate comes first, \
             those that signed it follow",
            key.display(),
            certificate.display()
        ));
    }
    tell_of_dates(leaf, certificate);
    let refused = |error| format!("OpenSSL refuses the certificate in {}: {error}", certificate.display());
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(refused)?;
    builder.set_certificate(leaf).map_err(refused)?;
    for signer in above {
        builder.add_extra_chain_cert(signer.clone()).map_err(refused)?;
    }
    builder.set_private_key(&private).map_err(refused)?;
    builder.set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK));
    Ok(builder.build())
}

fn read_chain(path: &Path) -> Result<Vec<X509>, String> {
    let pem =
        fs::read(path).map_err(|error| format!("cannot read the certificate file {}: {error}", path.display()))?;
    X509::stack_from_pem(&pem).map_err(|error| {
        format!(
            "the certificate file {} is not valid PEM: {error}; it must have lines from BEGIN CERTIFICATE to END CERTIFICATE",
            path.display()
        )
    })
}

fn read_key(path: &Path) -> Result<PKey<Private>, String> {
    let pem = fs::read(path).map_err(|error| format!("cannot read the key file {}: {error}", path.display()))?;
    if memchr::memmem::find(&pem, b"ENCRYPTED").is_some() {
        return Err(format!(
            "the key file {} has an encrypted key, and there is nobody to ask for its password: `openssl pkey -in FILE -out PLAIN` takes it \
             off; keep the plain file readable for this user alone",
            path.display()
        ));
    }
    PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).map_err(|_| {
        format!(
            "the key file {} has no private key in PEM: it must have lines from BEGIN PRIVATE KEY to END PRIVATE KEY",
            path.display()
        )
    })
}

/// Clients refuse such a certificate, but its files may be replaced before the next start.
fn tell_of_dates(leaf: &X509, path: &Path) {
    let Ok(now) = Asn1Time::days_from_now(0) else { return };
    if leaf.not_after() < now {
        tracing::warn!(
            "the certificate in {} ended on {}: clients refuse it; replace it and start again",
            path.display(),
            leaf.not_after()
        );
    } else if leaf.not_before() > now {
        tracing::warn!(
            "the certificate in {} begins on {}: clients refuse it until then",
            path.display(),
            leaf.not_before()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use openssl::asn1::Asn1Integer;
    use openssl::bn::BigNum;
    use openssl::hash::MessageDigest;
    use openssl::rsa::Rsa;
    use openssl::x509::X509Builder;

    use super::*;

    struct Pair {
        folder: tempfile::TempDir,
    }

    impl Pair {
        fn new() -> Self {
            let pair = Self {
                folder: tempfile::tempdir().unwrap(),
            };
            let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
            let mut builder = X509Builder::new().unwrap();
            let serial = Asn1Integer::from_bn(&BigNum::from_u32(1).unwrap()).unwrap();
            builder.set_serial_number(&serial).unwrap();
            builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
            builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
            builder.set_pubkey(&key).unwrap();
            builder.sign(&key, MessageDigest::sha256()).unwrap();
            pair.put("certificate", &builder.build().to_pem().unwrap());
            pair.put("key", &key.private_key_to_pem_pkcs8().unwrap());
            pair
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn put(&self, name: &str, text: &[u8]) {
            fs::write(self.path(name), text).unwrap();
        }

        fn refusal(&self) -> String {
            let folder = format!("{}/", self.folder.path().display());
            match acceptor(&self.path("certificate"), &self.path("key")) {
                Ok(_) => String::new(),
                Err(error) => error.replace(&folder, ""),
            }
        }
    }

    #[test]
    fn a_pair_is_taken() {
        assert_eq!(Pair::new().refusal(), "");
    }

    #[test]
    fn what_is_wrong_is_said_of_the_file() {
        let (pair, other) = (Pair::new(), Pair::new());
        pair.put("key", &fs::read(other.path("key")).unwrap());
        assert!(
            pair.refusal()
                .starts_with("the key in key is not that of the first certificate in certificate")
        );
        pair.put("key", b"nothing");
        assert!(pair.refusal().starts_with("the key file key has no private key in PEM"));
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        pair.put(
            "key",
            &key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap(),
        );
        assert!(pair.refusal().starts_with("the key file key has an encrypted key"));
        fs::remove_file(pair.path("key")).unwrap();
        assert!(pair.refusal().starts_with("cannot read the key file key: No such file"));
        let pair = Pair::new();
        pair.put("certificate", b"");
        assert!(
            pair.refusal()
                .starts_with("the certificate file certificate has no certificate")
        );
        pair.put(
            "certificate",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        assert!(
            pair.refusal()
                .starts_with("the certificate file certificate is not valid PEM")
        );
    }
}
