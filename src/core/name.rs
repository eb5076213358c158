//! Names of accounts and assets, and where an account's rows live.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest account name, in bytes of UTF-8 (contract, section 3).
pub const MAX_ACCOUNT_BYTES: usize = 128;

/// The longest asset name, in bytes.
pub const MAX_ASSET_BYTES: usize = 16;

/// How many buckets accounts fall into (contract, section 8).
pub const BUCKETS: u16 = 4096;

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
    /// A number of ledger partitions that is no power of two up to [`BUCKETS`].
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

/// The name of an asset, `[A-Z0-9]{1,16}`. Ordered by bytes, which is the order of the padded form too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    /// The name, then zeros.
    padded: [u8; MAX_ASSET_BYTES],
}

impl Asset {
    /// Reads the name of an asset.
    ///
    /// # Errors
    /// [`NameError::Asset`].
    #[inline]
    pub fn parse(text: &str) -> Result<Asset, NameError> {
        let bytes = text.as_bytes();
        let mut padded = [0; MAX_ASSET_BYTES];
        let mut valid = !bytes.is_empty() && bytes.len() <= MAX_ASSET_BYTES;
        for (slot, byte) in padded.iter_mut().zip(bytes) {
            valid &= matches!(byte, b'A'..=b'Z' | b'0'..=b'9');
            *slot = *byte;
        }
        if valid {
            Ok(Asset { padded })
        } else {
            Err(NameError::Asset)
        }
    }

    /// The inverse of [`Asset::padded`].
    ///
    /// # Errors
    /// [`NameError::Asset`] if these bytes are no padded asset name.
    pub fn from_padded(padded: [u8; MAX_ASSET_BYTES]) -> Result<Asset, NameError> {
        let length = padded.iter().position(|byte| *byte == 0).unwrap_or(MAX_ASSET_BYTES);
        let name = padded
            .get(..length)
            .and_then(|name| str::from_utf8(name).ok())
            .ok_or(NameError::Asset)?;
        let asset = Asset::parse(name)?;
        if asset.padded == padded {
            Ok(asset)
        } else {
            Err(NameError::Asset)
        }
    }

    /// The name followed by zero bytes: a key of fixed width whose order is that of the names.
    #[inline]
    pub const fn padded(&self) -> &[u8; MAX_ASSET_BYTES] {
        &self.padded
    }

    /// The name.
    #[inline]
    pub fn as_str(&self) -> &str {
        // No name has a zero inside, and all its bytes are ASCII, so neither default is ever taken.
        let length = self
            .padded
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(MAX_ASSET_BYTES);
        str::from_utf8(self.padded.get(..length).unwrap_or_default()).unwrap_or_default()
    }
}

impl std::str::FromStr for Asset {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Asset, NameError> {
        Asset::parse(text)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asset({})", self.as_str())
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text} {error}")))
    }
}

/// The bucket of an account, below [`BUCKETS`]: the first 12 bits of the SHA-256 of its bytes.
#[inline]
pub fn bucket(account: &str) -> u16 {
    let [first, second, ..] = <[u8; 32]>::from(Sha256::digest(account.as_bytes()));
    u16::from(first) << 4 | u16::from(second) >> 4
}

/// A number of ledger partitions: a power of two from 1 to 4096, so that each holds a whole range of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partitions {
    /// log2 of the number, 0 to 12.
    bits: u8,
}

impl Partitions {
    /// Takes a number of partitions.
    ///
    /// # Errors
    /// [`NameError::Partitions`].
    pub const fn new(count: u32) -> Result<Partitions, NameError> {
        if count.is_power_of_two() && count <= BUCKETS as u32 {
            // At most 12.
            Ok(Partitions {
                bits: count.trailing_zeros() as u8,
            })
        } else {
            Err(NameError::Partitions)
        }
    }

    /// How many partitions there are.
    #[inline]
    pub const fn count(self) -> u16 {
        1 << self.bits
    }

    /// The partition of a bucket: `bucket * count / 4096`. A number that is no bucket (4,096 or more) gets one that is
    /// no partition (`count` or more).
    #[inline]
    pub const fn of(self, bucket: u16) -> u16 {
        bucket >> (12 - self.bits)
    }

    /// The buckets of a partition; none if there is no such partition.
    pub const fn buckets(self, partition: u16) -> Range<u16> {
        if partition >= self.count() {
            return 0..0;
        }
        let width = BUCKETS >> self.bits;
        let start = partition * width;
        start..start + width
    }
}

/// The text with every character that a terminal might act on, hide or confuse with another blank shown as `\u{..}`.
///
/// For names and payloads of others wherever people read them. It is no encoding: backslashes stay as they are.
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe_to_show) else {
        return Cow::Borrowed(text);
    };
    let (clean, rest) = text.split_at_checked(first).unwrap_or(("", text));
    let mut out = String::with_capacity(text.len().saturating_add(16));
    out.push_str(clean);
    for character in rest.chars() {
        if is_unsafe_to_show(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Category Cf of Unicode 16, ascending. Written out, so that a newer table never changes a replay.
const FORMAT_CHARACTERS: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Allowed in a name, but invisible, blank or of nobody's definition on a screen: blanks other than U+0020 (Zs),
/// fillers and joiners, variation selectors, private use and tags.
const MISLEADING_CHARACTERS: [(char, char); 20] = [
    ('\u{a0}', '\u{a0}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{2065}', '\u{2065}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{e0000}', '\u{10ffff}'),
];

fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || within(&FORMAT_CHARACTERS, character)
}

fn is_unsafe_to_show(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    is_unprintable(character) || within(&MISLEADING_CHARACTERS, character)
}

/// Whether a table of ascending ranges, both ends included, has the character.
fn within(ranges: &[(char, char)], character: char) -> bool {
    let after = ranges.partition_point(|(_, last)| *last < character);
    ranges.get(after).is_some_and(|(first, _)| *first <= character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn format_characters_are_those_of_unicode_16() {
        // 170 characters of category Cf in DerivedGeneralCategory-16.0.0.txt.
        let count: u32 = FORMAT_CHARACTERS
            .iter()
            .map(|(first, last)| *last as u32 - *first as u32 + 1)
            .sum();
        assert_eq!(count, 170);
        for table in [&FORMAT_CHARACTERS[..], &MISLEADING_CHARACTERS[..]] {
            assert!(table.iter().all(|(first, last)| first <= last));
            assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(!within(&FORMAT_CHARACTERS, '\u{e000}') && !within(&FORMAT_CHARACTERS, '\u{10ffff}'));
    }

    #[test]
    fn assets() {
        for name in ["A", "0", "ATOM", "1INCH", "ABCDEFGHIJKLMNOP"] {
            let asset = Asset::parse(name).unwrap();
            assert_eq!((asset.as_str(), asset.to_string().as_str()), (name, name));
            assert_eq!(Asset::from_padded(*asset.padded()), Ok(asset));
        }
        for name in ["", "atom", "AT-OM", "AT OM", "ABCDEFGHIJKLMNOPQ", "É", "A\0", "\0"] {
            assert_eq!(Asset::parse(name), Err(NameError::Asset), "{name:?}");
        }
        for padded in [
            *b"A\0B\0\0\0\0\0\0\0\0\0\0\0\0\0",
            *b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            [0; 16],
            [0xff; 16],
        ] {
            assert_eq!(Asset::from_padded(padded), Err(NameError::Asset));
        }
    }

    #[test]
    fn buckets_of_accounts() {
        // SHA-256 of "abc" starts with ba 78 (FIPS 180-2), of nothing with e3 b0.
        assert_eq!(bucket("abc"), 0xba7);
        assert_eq!(bucket(""), 0xe3b);
        assert!((0..10_000).all(|i| bucket(&format!("u-{i}")) < BUCKETS));
    }

    #[test]
    fn partitions_hold_every_bucket_once() {
        for count in [0, 3, 6, 4095, 8192, u32::MAX] {
            assert_eq!(Partitions::new(count), Err(NameError::Partitions));
        }
        for count in (0..=12).map(|bits| 1u32 << bits) {
            let partitions = Partitions::new(count).unwrap();
            assert_eq!(u32::from(partitions.count()), count);
            for bucket in 0..BUCKETS {
                let partition = partitions.of(bucket);
                assert_eq!(u32::from(partition), u32::from(bucket) * count / 4096);
                assert!(partitions.buckets(partition).contains(&bucket));
            }
            let held: usize = (0..partitions.count())
                .map(|partition| partitions.buckets(partition).len())
                .sum();
            assert_eq!(held, 4096);
            assert!(partitions.buckets(partitions.count()).is_empty() && partitions.buckets(u16::MAX).is_empty());
            assert!(partitions.of(u16::MAX) >= partitions.count() || count == 4096);
        }
    }

    #[test]
    fn escaping() {
        assert!(matches!(escape_for_terminal("plain ü 客户 \\ \"x\""), Cow::Borrowed(_)));
        let cases = [
            ("a\u{1b}[31mred", r"a\u{1b}[31mred"),
            ("a\nb\tc\u{7f}", r"a\u{a}b\u{9}c\u{7f}"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            ("a\u{a0}b\u{200b}\u{3000}", r"a\u{a0}b\u{200b}\u{3000}"),
            ("\u{9b}é\u{e000}\u{10ffff}", r"\u{9b}é\u{e000}\u{10ffff}"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape_for_terminal(text), expected);
        }
    }

    proptest! {
        #[test]
        fn assets_sort_as_their_names(a in "[A-Z0-9]{1,16}", b in "[A-Z0-9]{1,16}") {
            let (left, right) = (Asset::parse(&a).unwrap(), Asset::parse(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.padded().cmp(right.padded()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_judged_and_escaped(text: String) {
            if check_account(&text).is_ok() {
                prop_assert!(text.chars().all(|character| !character.is_control()));
            }
            let shown = escape_for_terminal(&text);
            prop_assert!(!shown.chars().any(is_unsafe_to_show));
        }
    }
}
