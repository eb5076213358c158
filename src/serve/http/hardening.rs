//! Headers that each answer has, by the list of the OWASP Secure Headers Project. None allows another origin.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What an answer has unless its handler says otherwise.
const DEFAULTS: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    // An answer of the API is no page: nothing in it is ever loaded or run.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// What each answer has.
const ALWAYS: [(&str, &str); 9] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-dns-prefetch-control", "off"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), \
         magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), \
         sync-xhr=(), usb=(), xr-spatial-tracking=()",
    ),
];

/// Two years, as browsers ask for. Only where clients use TLS.
const TRANSPORT: &str = "max-age=63072000; includeSubDomains";

pub(super) fn harden(headers: &mut HeaderMap, is_encrypted: bool) {
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in ALWAYS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if is_encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT));
    }
}
