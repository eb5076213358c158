//! Names of accounts, and why a name is rejected.

use thiserror::Error;

use crate::core::values::printable::is_unprintable;

/// The longest account name, in bytes of UTF-8 (contract, section 3).
pub const MAX_ACCOUNT_BYTES: usize = 128;

/// Why a name was refused. Each message is a predicate: it makes a sentence after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// An account without a character.
    #[error("is empty")]
    Empty,
    /// An account of more than [`MAX_ACCOUNT_BYTES`].
    #[error("has {bytes} bytes, more than the 128 allowed")]
    TooLong {
        /// The length, in bytes of UTF-8.
        bytes: usize,
    },
    /// A character of an account that is not printable.
    #[error("has the unprintable character U+{:04X} at byte {at}", u32::from(*character))]
    Unprintable {
        /// The character.
        character: char,
        /// Where it starts, in bytes from 0.
        at: usize,
    },
    /// Not `[A-Z0-9]{1,16}`.
    #[error("is no asset name (1 to 16 of A-Z and 0-9)")]
    Asset,
    /// A number of ledger partitions that is no power of two up to [`BUCKETS`](crate::core::values::bucket::BUCKETS).
    #[error("is no power of two from 1 to 4096")]
    Partitions,
}

/// Checks the name of an account: 1 to 128 bytes without control characters (Cc), line and paragraph separators and
/// format characters (Cf as of Unicode 16).
///
/// # Errors
/// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Unprintable`] for the first such character.
#[inline]
pub fn check_account(account: &str) -> Result<(), NameError> {
    let bytes = account.len();
    if bytes == 0 {
        return Err(NameError::Empty);
    }
    if bytes > MAX_ACCOUNT_BYTES {
        return Err(NameError::TooLong { bytes });
    }
    // No early exit, so that the loop is vectorized.
    if account
        .bytes()
        .fold(true, |printable, byte| printable & matches!(byte, b' '..=b'~'))
    {
        return Ok(());
    }
    match account.char_indices().find(|(_, character)| is_unprintable(*character)) {
        Some((at, character)) => Err(NameError::Unprintable { character, at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::core::values::printable::FORMAT_CHARACTERS;

    use super::*;

    #[test]
    fn accounts() {
        let longest = "a".repeat(128);
        let too_long = "é".repeat(65);
        let ok = [
            "u-42",
            " ",
            "a b",
            "\u{a0}",
            "~",
            "Ünïcødé",
            "客户",
            "🦀",
            "e\u{301}",
            "\u{e000}",
            &longest,
        ];
        for account in ok {
            assert_eq!(check_account(account), Ok(()), "{account:?}");
        }
        assert_eq!(check_account(""), Err(NameError::Empty));
        assert_eq!(check_account(&too_long), Err(NameError::TooLong { bytes: 130 }));
        let bad = [
            '\0', '\n', '\u{1b}', '\u{7f}', '\u{80}', '\u{9f}', '\u{2028}', '\u{2029}',
        ];
        for character in bad
            .into_iter()
            .chain(FORMAT_CHARACTERS.into_iter().flat_map(|(first, last)| first..=last))
        {
            let refused = Err(NameError::Unprintable { character, at: 3 });
            assert_eq!(check_account(&format!("é-{character}x")), refused);
        }
        let error = check_account("a\u{202e}b").unwrap_err();
        assert_eq!(error.to_string(), "has the unprintable character U+202E at byte 1");
    }

    proptest! {
        #[test]
        fn an_accepted_account_has_no_control_character(text: String) {
            if check_account(&text).is_ok() {
                prop_assert!(text.chars().all(|character| !character.is_control()));
            }
        }
    }
}
