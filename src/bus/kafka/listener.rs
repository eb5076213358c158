//! A look at a broker's listener that librdkafka cannot use, to say why.
//!
//! For librdkafka, a listener with another protocol looks like a broker that is down, and every unaccepted certificate looks the same. This look
//! tells them apart. It decides nothing that librdkafka has not refused already, and it sends no credentials.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509Ref};

use crate::bus::kafka::settings::KafkaSettings;

/// Time-out of each step.
const STEP: Duration = Duration::from_secs(2);
/// The largest reply that is read.
const LARGEST: u32 = 1 << 16;
/// More names of a certificate are not listed.
const NAMED: usize = 5;

/// Numbers of OpenSSL: x509_vfy.h.
const NOT_YET_VALID: i32 = 9;
const EXPIRED: i32 = 10;
const OTHER_HOST: i32 = 62;
const OTHER_ADDRESS: i32 = 64;

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listener {
    /// It cannot be reached, or speaks neither Kafka's protocol nor TLS.
    Unknown,
    Plain(Authentication),
    Tls(Authentication),
    /// TLS with a certificate that this client does not accept.
    Unaccepted(Unaccepted),
}

/// Whether a listener asks for SASL authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authentication {
    /// It does, with one of these mechanisms.
    Sasl(Vec<String>),
    None,
    /// It did not answer: mostly it asks for a client certificate.
    Unknown,
}

/// Why the certificate of a broker is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unaccepted {
    /// OpenSSL's words.
    pub(super) why: String,
    pub(super) kind: CertificateFault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CertificateFault {
    /// It is valid for these names only.
    OtherName(Vec<String>),
    OutOfDate,
    /// No trusted CA signed it.
    Untrusted,
}

/// Looks at the listener at `address`, which is `host:port`.
pub(super) fn look(address: &str, settings: &KafkaSettings) -> Listener {
    if let Some(answer) = connect(address).and_then(|mut stream| ask(&mut stream)) {
        return Listener::Plain(answer);
    }
    let Some(stream) = connect(address) else {
        return Listener::Unknown;
    };
    let seen = Arc::default();
    match connector(settings, &seen).map(|connector| handshake(&connector, address, settings, stream)) {
        Ok(Handshake::Done(answer)) => Listener::Tls(answer.unwrap_or(Authentication::Unknown)),
        Ok(Handshake::Alerted) => match seen.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(unaccepted) => Listener::Unaccepted(unaccepted),
            None => Listener::Tls(Authentication::Unknown),
        },
        Ok(Handshake::NotTls) | Err(_) => Listener::Unknown,
    }
}

enum Handshake {
    Done(Option<Authentication>),
    /// One of the two sides refused the other.
    Alerted,
    NotTls,
}

fn connect(address: &str) -> Option<TcpStream> {
    let addresses = address.to_socket_addrs().ok()?;
    let mut streams = addresses.filter_map(|address| TcpStream::connect_timeout(&address, STEP).ok());
    let stream = streams.next()?;
    stream.set_read_timeout(Some(STEP)).ok()?;
    stream.set_write_timeout(Some(STEP)).ok()?;
    Some(stream)
}

/// Asks for a SASL mechanism that no broker has. A listener without SASL answers that the request is not valid there; one with SASL answers with
/// its mechanisms. `None` if the answer is not Kafka's.
fn ask(stream: &mut (impl Read + Write)) -> Option<Authentication> {
    const SASL_HANDSHAKE: i16 = 17;
    const VERSION: i16 = 1;
    const CORRELATION: i32 = 0x736f_6674;
    const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
    const ILLEGAL_SASL_STATE: i16 = 34;
    let text = |bytes: &mut Vec<u8>, text: &[u8]| {
        bytes.extend(i16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(text);
    };
    let mut request = Vec::new();
    request.extend(SASL_HANDSHAKE.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    text(&mut request, b"softstake");
    text(&mut request, b"NONE");
    let mut framed = u32::try_from(request.len()).ok()?.to_be_bytes().to_vec();
    framed.extend(request);
    stream.write_all(&framed).ok()?;
    stream.flush().ok()?;
    let size = u32::from_be_bytes(read(stream)?);
    if size > LARGEST {
        return None;
    }
    let mut reply = vec![0; usize::try_from(size).ok()?];
    stream.read_exact(&mut reply).ok()?;
    let mut reply = reply.as_slice();
    if i32::from_be_bytes(read(&mut reply)?) != CORRELATION {
        return None;
    }
    match i16::from_be_bytes(read(&mut reply)?) {
        UNSUPPORTED_SASL_MECHANISM => {
            let count = i32::from_be_bytes(read(&mut reply)?);
            let names = (0..count).map_while(|_| {
                let length = usize::from(u16::from_be_bytes(read(&mut reply)?));
                let (name, rest) = reply.split_at_checked(length)?;
                reply = rest;
                Some(String::from_utf8_lossy(name).into_owned())
            });
            Some(Authentication::Sasl(names.collect()))
        }
        ILLEGAL_SASL_STATE => Some(Authentication::None),
        _ => Some(Authentication::Unknown),
    }
}

fn read<const N: usize>(from: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A TLS client that trusts the same CAs as librdkafka. The first certificate that is not accepted goes into `seen`.
fn connector(settings: &KafkaSettings, seen: &Arc<Mutex<Option<Unaccepted>>>) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    let properties = settings.operator_properties().unwrap_or_default();
    if let Some(location) = properties.get("ssl.ca.location").filter(|place| *place != "probe") {
        let place = std::path::Path::new(location);
        if place.is_dir() {
            builder.load_verify_locations(None, Some(place))?;
        } else {
            builder.set_ca_file(place)?;
        }
    }
    if let Some(pem) = properties.get("ssl.ca.pem") {
        for certificate in X509::stack_from_pem(pem.as_bytes())? {
            builder.cert_store_mut().add_cert(certificate)?;
        }
    }
    let seen = Arc::clone(seen);
    builder.set_verify_callback(SslVerifyMode::PEER, move |accepted, context| {
        if !accepted {
            let error = context.error();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get_or_insert_with(|| Unaccepted {
                why: error.error_string().to_owned(),
                kind: match error.as_raw() {
                    OTHER_HOST | OTHER_ADDRESS => {
                        CertificateFault::OtherName(context.current_cert().map(names).unwrap_or_default())
                    }
                    EXPIRED | NOT_YET_VALID => CertificateFault::OutOfDate,
                    _ => CertificateFault::Untrusted,
                },
            });
        }
        accepted
    });
    Ok(builder.build())
}

/// The names that a certificate is valid for.
fn names(certificate: &X509Ref) -> Vec<String> {
    let of_address = |bytes: &[u8]| match bytes {
        [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
    };
    let names = certificate.subject_alt_names();
    let names = names.iter().flatten().filter_map(|name| match name.dnsname() {
        Some(name) => Some(name.to_owned()),
        None => of_address(name.ipaddress()?),
    });
    names.take(NAMED).collect()
}

fn handshake(connector: &SslConnector, address: &str, settings: &KafkaSettings, stream: TcpStream) -> Handshake {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let checks_names = settings
        .properties
        .get("ssl.endpoint.identification.algorithm")
        .is_none_or(|value| value != "none");
    let Ok(configuration) = connector.configure() else {
        return Handshake::NotTls;
    };
    match configuration.verify_hostname(checks_names).connect(host, stream) {
        Ok(mut stream) => Handshake::Done(ask(&mut stream)),
        Err(HandshakeError::Failure(failed)) => {
            // Without an answer in TLS, OpenSSL reports a closed connection, or a record of another protocol.
            let spoke_tls = failed.error().ssl_error().is_some_and(|stack| {
                let reasons = stack.errors().iter().filter_map(openssl::error::Error::reason);
                let mut alerts = reasons.filter(|reason| reason.contains("alert") || reason.contains("certificate"));
                alerts.next().is_some()
            });
            match spoke_tls {
                true => Handshake::Alerted,
                false => Handshake::NotTls,
            }
        }
        Err(HandshakeError::WouldBlock(_) | HandshakeError::SetupFailure(_)) => Handshake::NotTls,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a look finds at a listener that reads something, replies so, and closes the connection.
    fn found(reply: &'static [u8]) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream: TcpStream = stream?;
                let _ = stream.read(&mut [0; 4096])?;
                stream.write_all(reply)?;
            }
            std::io::Result::Ok(())
        });
        look(&address, &KafkaSettings::default())
    }

    #[test]
    fn a_listener_is_known_by_its_answer() {
        assert_eq!(found(b""), Listener::Unknown);
        assert_eq!(found(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Listener::Unknown);
        assert_eq!(
            found(b"\0\0\0\x0asoft\0\x22\0\0\0\0"),
            Listener::Plain(Authentication::None)
        );
        assert_eq!(
            found(b"\0\0\0\x11soft\0\x21\0\0\0\x01\0\x05PLAIN"),
            Listener::Plain(Authentication::Sasl(vec!["PLAIN".into()]))
        );
        // Of a damaged list, the whole names are kept.
        assert_eq!(
            found(b"\0\0\0\x11soft\0\x21\xff\0\0\x01\0\x05PLAIN"),
            Listener::Plain(Authentication::Sasl(Vec::new()))
        );
        // A TLS alert: no common cipher.
        assert_eq!(
            found(b"\x15\x03\x03\0\x02\x02\x28"),
            Listener::Tls(Authentication::Unknown)
        );
        assert_eq!(look("127.0.0.1:1", &KafkaSettings::default()), Listener::Unknown);
        assert_eq!(
            look("nowhere.invalid:9092", &KafkaSettings::default()),
            Listener::Unknown
        );
    }
}
