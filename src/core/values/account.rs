//! Names of accounts, and why a name is rejected.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::core::values::printable::is_unprintable;

/// The longest account name, in bytes of UTF-8 (contract, section 3).
pub const MAX_ACCOUNT_BYTES: usize = 128;

/// Why a name is rejected. Each message continues a sentence that begins with the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("has {bytes} bytes, more than the {most} allowed")]
    TooLong {
        /// The length, in bytes of UTF-8.
        bytes: usize,
        most: usize,
    },
    #[error("has the unprintable character U+{:04X} at byte {at}", u32::from(*character))]
    Unprintable {
        /// The character.
        character: char,
        /// Where it starts, in bytes from 0.
        at: usize,
    },
    /// White space or `:` in the name of an asset.
    #[error("has the character U+{:04X} at byte {at}, which no asset's name may have", u32::from(*character))]
    NotOfAsset { character: char, at: usize },
    /// A number of ledger partitions that is no power of two up to [`BUCKETS`](crate::core::values::bucket::BUCKETS).
    #[error("is no power of two from 1 to 4096")]
    Partitions,
}

/// The name of an account: 1 to 128 bytes of UTF-8 without control characters (Cc), line and paragraph separators and
/// format characters (Cf as of Unicode 16).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName<'a>(Cow<'a, str>);

impl<'a> AccountName<'a> {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Unprintable`] for the first such character.
    #[inline]
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, NameError> {
        let name = name.into();
        check_length(&name)?;
        check_characters(&name)?;
        Ok(Self(name))
    }

    /// A name from a record or key that Softstake wrote. Its characters were checked before it was written, so only its length is checked.
    ///
    /// # Errors
    /// [`NameError::Empty`] or [`NameError::TooLong`]: the record is damaged.
    #[inline]
    pub fn written_before(name: &'a str) -> Result<Self, NameError> {
        check_length(name)?;
        Ok(Self(Cow::Borrowed(name)))
    }

    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The owner of the account (see [`owner`]).
    #[inline]
    #[must_use]
    pub fn owner(&self) -> &str {
        owner(&self.0)
    }

    /// The same name, borrowed from this one.
    #[inline]
    #[must_use]
    pub fn borrowed(&self) -> AccountName<'_> {
        AccountName(Cow::Borrowed(&self.0))
    }

    #[must_use]
    pub fn into_owned(self) -> AccountName<'static> {
        AccountName(Cow::Owned(self.0.into_owned()))
    }

    /// Replaces this name by another and keeps the memory of an owned one.
    pub fn assign(&mut self, other: &AccountName<'_>) {
        let name = self.0.to_mut();
        name.clear();
        name.push_str(&other.0);
    }

    /// Its length in bytes, 1 to 128.
    #[inline]
    #[must_use]
    pub fn length(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

/// The owner of an account: the part of its name before the first `/`. An account without `/`, or one that begins with it, is its own
/// owner. The others are sub-accounts (contract, section 3).
#[inline]
#[must_use]
pub fn owner(account: &str) -> &str {
    match memchr::memchr(b'/', account.as_bytes()) {
        None | Some(0) => account,
        Some(at) => account.get(..at).unwrap_or(account),
    }
}

impl AsRef<str> for AccountName<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for AccountName<'static> {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        AccountName::new(name).map(AccountName::into_owned)
    }
}

#[inline]
fn check_length(name: &str) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        1..=MAX_ACCOUNT_BYTES => Ok(()),
        bytes => Err(NameError::TooLong {
            bytes,
            most: MAX_ACCOUNT_BYTES,
        }),
    }
}

#[inline]
fn check_characters(name: &str) -> Result<(), NameError> {
    // No early exit, so that the loop is vectorized.
    if name
        .bytes()
        .fold(true, |printable, byte| printable & matches!(byte, b' '..=b'~'))
    {
        return Ok(());
    }
    match name.char_indices().find(|(_, character)| is_unprintable(*character)) {
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
            let name = AccountName::new(account).unwrap();
            assert_eq!((name.as_str(), usize::from(name.length())), (account, account.len()));
        }
        assert_eq!(AccountName::new(""), Err(NameError::Empty));
        assert_eq!(AccountName::written_before(""), Err(NameError::Empty));
        let rejected = Err(NameError::TooLong { bytes: 130, most: 128 });
        assert_eq!(AccountName::new(&too_long), rejected);
        assert_eq!(AccountName::written_before(&too_long), rejected);
        let bad = [
            '\0', '\n', '\u{1b}', '\u{7f}', '\u{80}', '\u{9f}', '\u{2028}', '\u{2029}',
        ];
        for character in bad
            .into_iter()
            .chain(FORMAT_CHARACTERS.into_iter().flat_map(|(first, last)| first..=last))
        {
            let rejected = Err(NameError::Unprintable { character, at: 3 });
            assert_eq!(AccountName::new(format!("é-{character}x")), rejected);
        }
        let error = AccountName::new("a\u{202e}b").unwrap_err();
        assert_eq!(error.to_string(), "has the unprintable character U+202E at byte 1");
    }

    #[test]
    fn owners() {
        for (account, expected) in [
            ("u-42", "u-42"),
            ("u-42/grid", "u-42"),
            ("u-42/grid/2", "u-42"),
            ("u-42/", "u-42"),
            ("u-42//", "u-42"),
            ("/", "/"),
            ("/grid", "/grid"),
            ("//u", "//u"),
            ("客户/1", "客户"),
            ("u-42／grid", "u-42／grid"),
        ] {
            assert_eq!(AccountName::new(account).unwrap().owner(), expected, "{account}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_account_has_no_control_character(text: String) {
            if let Ok(name) = AccountName::new(&text) {
                prop_assert!((1..=128).contains(&name.length()));
                prop_assert!(text.chars().all(|character| !character.is_control()));
            }
        }

        #[test]
        fn a_name_is_the_same_however_it_is_held(text in "[^\\pC\\p{Zl}\\p{Zp}]{1,30}", other in "[^\\pC\\p{Zl}\\p{Zp}]{1,30}") {
            let name = AccountName::new(&text).unwrap();
            prop_assert_eq!(AccountName::written_before(&text).unwrap(), name.clone());
            prop_assert_eq!(name.borrowed().into_owned(), name.clone());
            prop_assert_eq!(text.parse::<AccountName<'static>>().unwrap(), name.clone());
            let mut assigned = AccountName::new(&other).unwrap();
            assigned.assign(&name);
            prop_assert_eq!(assigned, name);
        }
    }
}
