//! The token of those who may ask for the holdings of an account.

use std::fs;
use std::path::Path;

use axum::http::{HeaderMap, header};
use tokio::sync::Semaphore;

/// The shortest token, in bytes. Shorter ones can be guessed.
const TOKEN_BYTES: usize = 16;
/// The largest file with a token, in bytes.
const FILE_BYTES: u64 = 4096;

/// The token of those who may ask for holdings.
pub struct HoldingsAccess {
    token: Vec<u8>,
    /// One look at a time, so that many askers do not take the disk from the tasks.
    pub(super) turns: Semaphore,
}

impl std::fmt::Debug for HoldingsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HoldingsAccess(…)")
    }
}

impl HoldingsAccess {
    /// Reads the token from a file. White space around it does not count.
    ///
    /// # Errors
    /// If there is no usable token in the file. It is a predicate: it makes a sentence after the name of the setting.
    pub fn from_file(file: &Path) -> Result<Self, String> {
        let named = |what: &str| format!("is {}, {what}", file.display());
        let size = fs::metadata(file).map_err(|error| named(&format!("which cannot be read: {error}")))?;
        if !size.is_file() || size.len() > FILE_BYTES {
            return Err(named(
                "which is no small file: name a file that has a token and nothing else",
            ));
        }
        let text = fs::read_to_string(file).map_err(|error| named(&format!("which cannot be read: {error}")))?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(named(&format!(
                "which has no token of at least {TOKEN_BYTES} printable characters: make one with `openssl rand -hex 32`"
            )));
        }
        Ok(Self {
            token: token.as_bytes().to_owned(),
            turns: Semaphore::new(1),
        })
    }

    pub(super) fn accepts(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        shown
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .is_some_and(|shown| shown.len() == self.token.len() && openssl::memcmp::eq(shown, &self.token))
    }
}
