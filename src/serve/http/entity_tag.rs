//! The compressed form of an answer has other bytes, so it has another entity tag. Handlers know the plain one alone.

use axum::http::{HeaderMap, HeaderValue, header};

/// What the tag of a compressed answer ends with.
const COMPRESSED: &str = "-gzip\"";

/// Makes plain tags of those that a client has.
pub(super) fn know_plain(headers: &mut HeaderMap) {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .filter(|known| known.contains(COMPRESSED));
    let plain = known.and_then(|known| HeaderValue::from_str(&known.replace(COMPRESSED, "\"")).ok());
    if let Some(plain) = plain {
        headers.insert(header::IF_NONE_MATCH, plain);
    }
}

/// Gives a compressed answer a tag of its own.
pub(super) fn tag_compressed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONTENT_ENCODING) {
        return;
    }
    let plain = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let tag = plain
        .and_then(|tag| tag.strip_suffix('"'))
        .and_then(|tag| HeaderValue::from_str(&format!("{tag}{COMPRESSED}")).ok());
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_answer_has_a_tag_of_its_own_which_is_known_again() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"0a\""));
        tag_compressed(&mut headers);
        assert_eq!(headers[header::ETAG], "\"0a\"", "it is not compressed");
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        tag_compressed(&mut headers);
        assert_eq!(headers[header::ETAG], "\"0a-gzip\"");
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"0a-gzip\", \"0b\""));
        know_plain(&mut headers);
        assert_eq!(headers[header::IF_NONE_MATCH], "W/\"0a\", \"0b\"");
    }
}
