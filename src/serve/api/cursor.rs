//! Cursors: the key of the last item, with a check that it belongs to this list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

/// The version of the form of cursors.
const VERSION: u8 = 1;
/// The bytes of the check.
const CHECK: usize = 8;
/// A longer text is none of ours.
const LONGEST: usize = 1024;

/// The cursor behind `key` in the list that `list` names: its path, with all filters.
pub(super) fn write(list: &str, key: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&check(list, key));
    bytes.extend_from_slice(key);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key in a cursor.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(list: &str, cursor: &str) -> Result<Vec<u8>, &'static str> {
    let torn = "is torn: give `next` of the page before as it is, or leave it out to begin at the start";
    if cursor.len() > LONGEST {
        return Err(torn);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| torn)?;
    let Some((VERSION, rest)) = bytes.split_first().map(|(version, rest)| (*version, rest)) else {
        return Err(torn);
    };
    let Some((found, key)) = rest.split_first_chunk::<CHECK>() else {
        return Err(torn);
    };
    if *found != check(list, key) {
        return Err(
            "is torn, or of another list: it goes with the path and the filters that it was answered for. \
             Leave it out to begin at the start",
        );
    }
    Ok(key.to_vec())
}

fn check(list: &str, key: &[u8]) -> [u8; CHECK] {
    xxh3_64(&[list.as_bytes(), &[0], key].concat()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_with_its_list_alone() {
        let cursor = write("/v1/assets?", b"ATOM");
        assert_eq!(read("/v1/assets?", &cursor).unwrap(), b"ATOM");
        assert!(read("/v1/held?", &cursor).unwrap_err().contains("another list"));
        for torn in ["", "x", "&&", &cursor[1..], &"a".repeat(2000)] {
            assert!(read("/v1/assets?", torn).is_err(), "{torn}");
        }
        for at in 0..cursor.len() - 1 {
            let torn = &cursor[..at];
            assert!(read("/v1/assets?", torn).is_err(), "{torn}");
        }
    }
}
