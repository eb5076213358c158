use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
use serde_json::{Value, json};

use super::*;
use crate::serve::auth::verifying_key::read_keys;

const NOW: f64 = 1_800_000_000.0;

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signed {
    rsa: PKey<Private>,
    ec: PKey<Private>,
    ed: PKey<Private>,
}

impl Signed {
    fn new() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self {
            rsa: PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
            ec: PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(),
            ed: PKey::generate_ed25519().unwrap(),
        }
    }

    /// The public keys as a file of PEM.
    fn pem(&self) -> Vec<u8> {
        let keys = [&self.rsa, &self.ec, &self.ed];
        keys.map(|key| key.public_key_to_pem().unwrap()).concat()
    }

    fn keys(&self) -> Vec<VerifyingKey> {
        read_keys(&self.pem()).unwrap()
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match algorithm {
            "EdDSA" => Signer::new_without_digest(&self.ed)
                .unwrap()
                .sign_oneshot_to_vec(message)
                .unwrap(),
            "ES256" => {
                let der = Signer::new(MessageDigest::sha256(), &self.ec)
                    .unwrap()
                    .sign_oneshot_to_vec(message)
                    .unwrap();
                let pair = openssl::ecdsa::EcdsaSig::from_der(&der).unwrap();
                [pair.r(), pair.s()]
                    .map(|number| number.to_vec_padded(32).unwrap())
                    .concat()
            }
            "HS256" => {
                // The public key as the secret: the classic confusion.
                let secret = PKey::hmac(&self.rsa.public_key_to_pem().unwrap()).unwrap();
                let mut signer = Signer::new(MessageDigest::sha256(), &secret).unwrap();
                signer.sign_oneshot_to_vec(message).unwrap()
            }
            "none" => Vec::new(),
            _ => {
                let mut signer = Signer::new(MessageDigest::sha256(), &self.rsa).unwrap();
                if algorithm == "PS256" {
                    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                    signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
                }
                signer.sign_oneshot_to_vec(message).unwrap()
            }
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap_or("RS256");
        let parts = [header, claims].map(|part| base64(part.to_string().as_bytes()));
        let message = parts.join(".");
        format!("{message}.{}", base64(&self.sign(algorithm, message.as_bytes())))
    }
}

fn claims() -> Value {
    json!({
        "sub": "alice", "exp": NOW + 600.0, "nbf": NOW - 10.0, "iss": "https://issuer", "aud": ["other", "softstake"],
        "scope": "openid softstake.customer softstake.nobody", "account": "acct-1",
    })
}

/// The claims, with one changed or taken away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn rules() -> TokenRules {
    TokenRules {
        issuer: Some("https://issuer".into()),
        audience: Some("softstake".into()),
    }
}

#[test]
fn a_token_of_each_algorithm_is_taken() {
    let signed = Signed::new();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = signed.token(&json!({ "alg": algorithm, "typ": "JWT" }), &claims());
        let holder = verify(&token, &signed.keys(), &rules(), NOW).unwrap();
        assert_eq!(holder.subject, "alice");
        assert_eq!(holder.account, Some(AccountName::new("acct-1").unwrap()));
        assert_eq!(holder.roles, [Role::Customer]);
        assert_eq!(holder.ends_second, 1_800_000_600);
        let other = Signed::new();
        assert_eq!(
            verify(&token, &other.keys(), &rules(), NOW),
            Err(TokenError::Signature),
            "{algorithm}"
        );
    }
}

#[test]
fn each_wrong_header_is_refused() {
    let signed = Signed::new();
    for (header, expected) in [
        (json!({ "alg": "none" }), TokenError::Algorithm),
        (json!({ "alg": "None" }), TokenError::Algorithm),
        (json!({ "alg": "HS256" }), TokenError::Algorithm),
        (json!({ "alg": "RS384" }), TokenError::Algorithm),
        (json!({ "alg": "rs256" }), TokenError::Algorithm),
        (json!({ "typ": "JWT" }), TokenError::Malformed),
        (json!({ "alg": ["RS256"] }), TokenError::Malformed),
        (
            json!({ "alg": "RS256", "crit": ["b64"], "b64": false }),
            TokenError::Critical,
        ),
    ] {
        let token = signed.token(&header, &claims());
        assert_eq!(verify(&token, &signed.keys(), &rules(), NOW), Err(expected), "{header}");
    }
}

#[test]
fn an_algorithm_never_meets_a_key_of_another_type() {
    let signed = Signed::new();
    let only = |key: &PKey<Private>| read_keys(&key.public_key_to_pem().unwrap()).unwrap();
    for (algorithm, key) in [
        ("RS256", &signed.ec),
        ("ES256", &signed.ed),
        ("EdDSA", &signed.rsa),
        ("PS256", &signed.ed),
    ] {
        let token = signed.token(&json!({ "alg": algorithm }), &claims());
        assert_eq!(
            verify(&token, &only(key), &rules(), NOW),
            Err(TokenError::UnknownKey),
            "{algorithm}"
        );
    }
    // A signature of one padding is none of the other.
    let (message, _) = (b"message", ());
    let key = &only(&signed.rsa)[0];
    assert!(!key.verifies(TokenAlgorithm::Ps256, message, &signed.sign("RS256", message)));
    assert!(!key.verifies(TokenAlgorithm::Rs256, message, &signed.sign("PS256", message)));
}

#[test]
fn each_wrong_claim_is_refused() {
    let signed = Signed::new();
    for (name, value, expected) in [
        ("exp", Value::Null, TokenError::NoEnd),
        ("exp", json!(NOW - 31.0), TokenError::Ended),
        ("exp", json!("tomorrow"), TokenError::Claims),
        ("exp", json!(1e300), TokenError::Claims),
        ("exp", json!(-1), TokenError::Claims),
        ("nbf", json!(NOW + 31.0), TokenError::NotYet),
        ("nbf", json!("soon"), TokenError::Claims),
        ("iss", json!("https://other"), TokenError::Issuer),
        ("iss", Value::Null, TokenError::Issuer),
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", Value::Null, TokenError::Audience),
        ("sub", Value::Null, TokenError::Subject),
        ("sub", json!(""), TokenError::Subject),
        ("sub", json!("a".repeat(257)), TokenError::Subject),
        ("account", json!(""), TokenError::Account),
        ("account", json!("a\u{202e}b"), TokenError::Account),
        ("account", json!(["acct-1"]), TokenError::Claims),
        ("scope", json!(["softstake.auditor"]), TokenError::Claims),
    ] {
        let token = signed.token(&json!({ "alg": "EdDSA" }), &with(name, value.clone()));
        let verified = verify(&token, &signed.keys(), &rules(), NOW);
        assert_eq!(verified, Err(expected), "{name}: {value}");
    }
}

#[test]
fn times_have_a_leeway_and_what_is_not_asked_for_is_not_checked() {
    let signed = Signed::new();
    let verified = |claims: &Value, rules: &TokenRules| {
        let token = signed.token(&json!({ "alg": "ES256" }), claims);
        verify(&token, &signed.keys(), rules, NOW)
    };
    assert!(verified(&with("exp", json!(NOW - 29.0)), &rules()).is_ok());
    assert!(verified(&with("nbf", json!(NOW + 29.0)), &rules()).is_ok());
    assert!(verified(&with("nbf", Value::Null), &rules()).is_ok());
    let any = TokenRules::default();
    assert!(verified(&with("iss", json!("https://other")), &any).is_ok());
    assert!(verified(&with("aud", Value::Null), &any).is_ok());
    let without_account = verified(&with("account", Value::Null), &any).unwrap();
    assert_eq!(without_account.account, None);
    assert_eq!(verified(&with("scope", Value::Null), &any).unwrap().roles, []);
}

#[test]
fn a_token_that_was_changed_or_cut_is_refused() {
    let signed = Signed::new();
    let (keys, rules) = (signed.keys(), rules());
    let refused = |token: &str| verify(token, &keys, &rules, NOW).unwrap_err();
    let token = signed.token(&json!({ "alg": "EdDSA" }), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let forged = base64(with("account", json!("acct-2")).to_string().as_bytes());
    assert_eq!(
        refused(&format!("{}.{forged}.{}", parts[0], parts[2])),
        TokenError::Signature
    );
    for end in 0..token.len() {
        refused(&token[..end]);
    }
    for (at, _) in token.char_indices() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        refused(str::from_utf8(&changed).unwrap());
    }
    for malformed in [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "eyJhbGciOiJub25lIn0..",
        &format!("{token}."),
        &format!("{token}="),
    ] {
        refused(malformed);
    }
    assert_eq!(refused(&"a".repeat(MOST_BYTES + 1)), TokenError::TooLong);
    assert_eq!(refused(&format!("{token}.{}", parts[2])), TokenError::Malformed);
}

#[test]
fn keys_are_found_by_their_names() {
    let signed = Signed::new();
    let raw = base64(&signed.ed.raw_public_key().unwrap());
    let rsa = signed.rsa.rsa().unwrap();
    let set = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": raw, "use": "sig" },
        { "kty": "RSA", "kid": "rsa", "alg": "PS256", "n": base64(&rsa.n().to_vec()), "e": base64(&rsa.e().to_vec()) },
        { "kty": "oct", "kid": "secret", "k": "c2VjcmV0" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "other use", "x": raw, "use": "enc" },
    ]});
    let keys = read_keys(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 2);
    let verified = |header: Value| verify(&signed.token(&header, &claims()), &keys, &rules(), NOW).map(|_| ());
    assert_eq!(verified(json!({ "alg": "EdDSA", "kid": "ed" })), Ok(()));
    assert_eq!(verified(json!({ "alg": "EdDSA" })), Ok(()));
    assert_eq!(
        verified(json!({ "alg": "EdDSA", "kid": "new" })),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(
        verified(json!({ "alg": "EdDSA", "kid": "rsa" })),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(verified(json!({ "alg": "PS256", "kid": "rsa" })), Ok(()));
    // The key says which algorithm is its own.
    assert_eq!(
        verified(json!({ "alg": "RS256", "kid": "rsa" })),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn what_is_wrong_with_a_file_of_keys_is_said() {
    let signed = Signed::new();
    let short = Rsa::generate(1024).unwrap().public_key_to_pem().unwrap();
    let curve = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
    let curve = EcKey::generate(&curve).unwrap().public_key_to_pem().unwrap();
    let private = signed.ed.private_key_to_pem_pkcs8().unwrap();
    let secret = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" }] }).to_string();
    let oct = json!({ "keys": [{ "kty": "oct", "k": "AA" }] }).to_string();
    let damaged = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }] }).to_string();
    for (text, expected) in [
        (&b" "[..], "it is empty"),
        (
            b"nothing",
            "it has no block that begins with -----BEGIN PUBLIC KEY-----",
        ),
        (&short, "its key 1 is an RSA key of 1024 bits: use 2048 or more"),
        (&curve, "its key 1 is an EC key of another curve"),
        (&private, "it has a private key, which must stay with the issuer"),
        (secret.as_bytes(), "its key 1 is a private one"),
        (oct.as_bytes(), "it has no key that can be used"),
        (damaged.as_bytes(), "its key 1 is refused by OpenSSL"),
        (b"{}", "it is no set of JWKs"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "its key 1 is no valid PEM",
        ),
    ] {
        let error = read_keys(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn every_reason_has_a_place_and_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = TokenError::ALL.into_iter().map(TokenError::name).collect();
    assert_eq!(names.len(), TokenError::ALL.len());
    for (place, error) in TokenError::ALL.into_iter().enumerate() {
        assert_eq!(error as usize, place, "{error}");
    }
}
