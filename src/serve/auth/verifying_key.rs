//! Public keys of tokens: from a file of PEM, or a set of JWKs (RFC 7517). A key verifies only the algorithms that are its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Verifier};
use serde::Deserialize;

/// Keys in a file or a set. More are a mistake, and each costs time.
const MOST_KEYS: usize = 100;
/// Shorter RSA keys can be broken.
const LEAST_RSA_BITS: u32 = 2_048;

/// How a token may be signed. Nothing else is known here, so neither `none` nor an HMAC with a public key as its secret can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenAlgorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl TokenAlgorithm {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key, and the name that tokens call it by.
#[derive(Debug, Clone)]
pub(super) struct VerifyingKey {
    pub id: Option<String>,
    /// The one algorithm that its JWK names; else all of its type.
    only: Option<TokenAlgorithm>,
    key: PKey<Public>,
}

impl VerifyingKey {
    /// Whether a token of this algorithm, with this key id or none, may be of this key.
    pub(super) fn suits(&self, algorithm: TokenAlgorithm, id: Option<&str>) -> bool {
        let is_of_type = match algorithm {
            TokenAlgorithm::Rs256 | TokenAlgorithm::Ps256 => self.key.id() == Id::RSA,
            TokenAlgorithm::Es256 => self.key.id() == Id::EC,
            TokenAlgorithm::EdDsa => self.key.id() == Id::ED25519,
        };
        let is_named = match (&self.id, id) {
            (Some(own), Some(id)) => own == id,
            _ => true,
        };
        is_of_type && is_named && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether a signature is of this key. Call it only for an algorithm that suits.
    pub(super) fn verifies(&self, algorithm: TokenAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        // An error of OpenSSL is a signature that it cannot read.
        self.verify(algorithm, message, signature).unwrap_or(false)
    }

    fn verify(&self, algorithm: TokenAlgorithm, message: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
        match algorithm {
            TokenAlgorithm::EdDsa => Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, message),
            TokenAlgorithm::Rs256 => {
                Verifier::new(MessageDigest::sha256(), &self.key)?.verify_oneshot(signature, message)
            }
            TokenAlgorithm::Ps256 => {
                let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
                verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                verifier.set_rsa_mgf1_md(MessageDigest::sha256())?;
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                verifier.verify_oneshot(signature, message)
            }
            TokenAlgorithm::Es256 => {
                // A token has two numbers of 32 bytes each (RFC 7518, section 3.4), OpenSSL wants them in DER.
                let Some((r, s)) = signature.split_at_checked(32).filter(|(_, s)| s.len() == 32) else {
                    return Ok(false);
                };
                let pair = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
                Verifier::new(MessageDigest::sha256(), &self.key)?.verify_oneshot(&pair.to_der()?, message)
            }
        }
    }
}

/// Reads the keys of a file: a set of JWKs if it is JSON, else PEM.
///
/// # Errors
/// What is wrong with it, a sentence without its subject's name.
pub(super) fn read_keys(text: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let keys = match first {
        None => return Err("it is empty".into()),
        Some(b'{') => read_set(text)?,
        Some(_) => read_pem(text)?,
    };
    match keys.len() {
        0 => Err("it has no key that can be used: RSA from 2048 bits, EC P-256 or Ed25519, for signatures".into()),
        1..=MOST_KEYS => Ok(keys),
        count => Err(format!("it has {count} keys, and at most {MOST_KEYS} are read")),
    }
}

fn read_pem(text: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
    const END: &str = "-----END PUBLIC KEY-----";
    let text = str::from_utf8(text).map_err(|_| "it is neither PEM nor JSON".to_owned())?;
    if text.contains("PRIVATE KEY-----") {
        return Err("it has a private key, which must stay with the issuer: \
                    `openssl pkey -in PRIVATE -pubout -out PUBLIC` writes the public one"
            .into());
    }
    let mut keys = Vec::new();
    for (at, rest) in text.match_indices(BEGIN) {
        let number = keys.len() + 1;
        let block = text[at..].split_inclusive(END).next().unwrap_or(rest);
        let key = PKey::public_key_from_pem(block.as_bytes())
            .map_err(|error| format!("its key {number} is no valid PEM: {error}"))?;
        check(&key).map_err(|what| format!("its key {number} {what}"))?;
        keys.push(VerifyingKey {
            id: None,
            only: None,
            key,
        });
    }
    if keys.is_empty() {
        return Err(format!("it has no block that begins with {BEGIN}"));
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Of a private key.
    d: Option<serde::de::IgnoredAny>,
}

fn read_set(text: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    let set: JwkSet = serde_json::from_slice(text)
        .map_err(|error| format!("it is no set of JWKs (`{{\"keys\": [..]}}`): {error}"))?;
    let mut keys = Vec::new();
    for (at, jwk) in set.keys.iter().enumerate() {
        if jwk.d.is_some() {
            return Err(format!(
                "its key {} is a private one, which must stay with the issuer",
                at + 1
            ));
        }
        // Sets have keys for other uses and algorithms, too.
        let is_for_signatures = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let verifies = jwk
            .key_ops
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|one| one == "verify"));
        let only = jwk.alg.as_deref().map(TokenAlgorithm::of);
        if !is_for_signatures || !verifies || only == Some(None) {
            continue;
        }
        let key = match public_key(jwk) {
            Ok(Some(key)) => key,
            Ok(None) => continue,
            Err(what) => return Err(format!("its key {} {what}", at + 1)),
        };
        check(&key).map_err(|what| format!("its key {} {what}", at + 1))?;
        keys.push(VerifyingKey {
            id: jwk.kid.clone(),
            only: only.flatten(),
            key,
        });
    }
    Ok(keys)
}

/// The key of a JWK; `None` if its type is not used for tokens here.
fn public_key(jwk: &Jwk) -> Result<Option<PKey<Public>>, String> {
    let refused = |error: ErrorStack| format!("is refused by OpenSSL: {error}");
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let rsa = Rsa::from_public_components(number(&jwk.n, "n")?, number(&jwk.e, "e")?);
            rsa.and_then(PKey::from_rsa)
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (number(&jwk.x, "x")?, number(&jwk.y, "y")?);
            EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
                .and_then(|group| EcKey::from_public_key_affine_coordinates(&group, &x, &y))
                .and_then(PKey::from_ec_key)
        }
        ("OKP", Some("Ed25519")) => PKey::public_key_from_raw_bytes(&bytes(&jwk.x, "x")?, Id::ED25519),
        _ => return Ok(None),
    };
    key.map(Some).map_err(refused)
}

fn bytes(field: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    let text = field.as_ref().ok_or_else(|| format!("has no `{name}`"))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| format!("has `{name}`, which is no base64url: {error}"))
}

fn number(field: &Option<String>, name: &str) -> Result<BigNum, String> {
    BigNum::from_slice(&bytes(field, name)?).map_err(|error| format!("has `{name}`, which OpenSSL refuses: {error}"))
}

/// A predicate of what is wrong with a key.
fn check(key: &PKey<Public>) -> Result<(), String> {
    match key.id() {
        Id::RSA if key.bits() < LEAST_RSA_BITS => Err(format!(
            "is an RSA key of {} bits: use {LEAST_RSA_BITS} or more",
            key.bits()
        )),
        Id::RSA | Id::ED25519 => Ok(()),
        Id::EC => {
            let group = key
                .ec_key()
                .and_then(|key| {
                    key.check_key()?;
                    Ok(key.group().curve_name())
                })
                .map_err(|error| format!("is refused by OpenSSL: {error}"))?;
            if group == Some(Nid::X9_62_PRIME256V1) {
                Ok(())
            } else {
                Err("is an EC key of another curve than P-256, which ES256 needs".into())
            }
        }
        _ => Err("is of a type that no token uses here: use RSA, EC P-256 or Ed25519".into()),
    }
}
