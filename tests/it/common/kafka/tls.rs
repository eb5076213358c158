//! A broker whose clients connect by TLS, and the certificates for it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::acls::{ADMIN, SOFTSTAKE, password};
use super::slots::Slots;
use super::{Cluster, scram_users};

/// What the brokers ask of their clients on the client listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A user and a password, by SCRAM-SHA-512.
    Password,
    /// A certificate.
    Certificate,
}

/// A folder of certificates in PEM: a CA, another one, and those that they signed.
pub struct Certificates {
    folder: PathBuf,
}

fn run(command: &mut Command) {
    let output = command.output().expect("the tool starts");
    assert!(
        output.status.success(),
        "{command:?}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Certificates {
    /// Makes two CAs, and certificates for the broker and a client.
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder for certificates");
        let certificates = Self {
            folder: folder.to_owned(),
        };
        for name in ["ca", "other-ca"] {
            let subject = format!("/CN={name}");
            run(Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(["-subj", &subject])
                .arg("-keyout")
                .arg(certificates.key(name))
                .arg("-out")
                .arg(certificates.file(name)));
        }
        let here = "IP:127.0.0.1";
        certificates.sign("broker", "ca", here, false);
        certificates.sign("expired", "ca", here, true);
        certificates.sign("client", "ca", "DNS:client", false);
        certificates.sign("expired-client", "ca", "DNS:client", true);
        certificates.sign("strange-client", "other-ca", "DNS:client", false);
        certificates
    }

    /// The certificate with this name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Its key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Makes a certificate. It ended yesterday if it `is_expired`.
    fn sign(&self, name: &str, ca: &str, alternative: &str, is_expired: bool) {
        let request = self.folder.join(format!("{name}.csr"));
        let extensions = self.folder.join(format!("{name}.ext"));
        fs::write(&extensions, format!("subjectAltName={alternative}\n")).expect("extensions");
        run(Command::new("openssl")
            .args(["req", "-new", "-newkey", "rsa:2048", "-nodes"])
            .args(["-subj", &format!("/CN={name}")])
            .arg("-keyout")
            .arg(self.key(name))
            .arg("-out")
            .arg(&request));
        let days = if is_expired { "-1" } else { "2" };
        run(Command::new("openssl")
            .args(["x509", "-req", "-days", days, "-in"])
            .arg(request)
            .arg("-CA")
            .arg(self.file(ca))
            .arg("-CAkey")
            .arg(self.key(ca))
            .arg("-CAcreateserial")
            .arg("-extfile")
            .arg(extensions)
            .arg("-out")
            .arg(self.file(name)));
    }

    /// A certificate and its key in one file, as Kafka reads them.
    fn keystore(&self, name: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.keystore"));
        let parts = [self.key(name), self.file(name)].map(|part| fs::read(part).expect("a part"));
        fs::write(&path, parts.concat()).expect("a keystore");
        path
    }
}

impl Cluster {
    /// One broker with the certificate `broker`. The listener beside that of clients has the certificate `expired`, or no TLS at all if clients
    /// are asked for certificates.
    pub fn with_tls(certificates: &Certificates, asked: Asked) -> Self {
        let (client, beside) = match asked {
            Asked::Password => ("SASL_SSL", "SASL_SSL"),
            Asked::Certificate => ("SSL", "SASL_PLAINTEXT"),
        };
        let mut settings = format!(
            "listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:{client},PROXIED:{beside},CONTROLLER:PLAINTEXT\n\
             sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:{ADMIN};User:ANONYMOUS;User:CN=client\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             listener.name.proxied.ssl.keystore.type=PEM\n\
             listener.name.proxied.ssl.keystore.location={}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n",
            certificates.keystore("broker").display(),
            certificates.keystore("expired").display(),
            certificates.file("ca").display()
        );
        if asked == Asked::Certificate {
            settings.push_str("ssl.client.auth=required\n");
        }
        for listener in ["client", "proxied"] {
            writeln!(
                settings,
                "listener.name.{listener}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
            .expect("a string takes it");
        }
        Self::launch(
            1,
            Slots::take(1),
            &settings,
            &scram_users("SCRAM-SHA-512", [ADMIN, SOFTSTAKE]),
        )
    }

    /// The address of the listener beside that of clients.
    pub fn beside(&self) -> String {
        self.addresses(|ports| ports.proxied)
    }

    /// The address of the listener without TLS and SASL.
    pub fn open_to_all(&self) -> String {
        self.addresses(|ports| ports.internal)
    }
}

/// The properties with which a user logs in by TLS.
pub fn properties(certificates: &Certificates, user: &str) -> Vec<(String, String)> {
    [
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanisms", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", user.to_owned()),
        ("sasl.password", password(user)),
        ("ssl.ca.location", certificates.file("ca").display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
