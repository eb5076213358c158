//! Names of assets.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::core::values::account::NameError;
use crate::core::values::printable::{is_unprintable, is_white_space};

/// The longest asset name, in bytes of UTF-8 (contract, section 3).
pub const MAX_ASSET_BYTES: usize = 32;

/// The name of an asset: 1 to 32 bytes of printable UTF-8 without white space and without `:`. Names and their padded forms have the
/// same order: that of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asset {
    /// The name, then zeros. A name has no zero, which is not printable.
    padded: [u8; MAX_ASSET_BYTES],
}

impl Asset {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::TooLong`], or [`NameError::Unprintable`] or [`NameError::NotOfAsset`] for the first such
    /// character.
    #[inline]
    pub fn parse(text: &str) -> Result<Asset, NameError> {
        let bytes = text.as_bytes();
        let mut padded = [0; MAX_ASSET_BYTES];
        let Some(name) = padded.get_mut(..bytes.len()) else {
            return Err(NameError::TooLong {
                bytes: bytes.len(),
                most: MAX_ASSET_BYTES,
            });
        };
        name.copy_from_slice(bytes);
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        // No early exit, so that the loop is vectorized.
        let plain = |byte: u8| matches!(byte, b'!'..=b'~') & (byte != b':');
        if !bytes.iter().fold(true, |all, byte| all & plain(*byte)) {
            check_characters(text)?;
        }
        Ok(Asset { padded })
    }

    /// Reads [`Asset::padded`].
    ///
    /// # Errors
    /// A [`NameError`] if it is no name, then zeros.
    pub fn from_padded(padded: [u8; MAX_ASSET_BYTES]) -> Result<Asset, NameError> {
        let not_utf8 = NameError::Unprintable {
            character: '\u{fffd}',
            at: 0,
        };
        let name = str::from_utf8(name_of(&padded)).map_err(|_| not_utf8)?;
        let asset = Asset::parse(name)?;
        if asset.padded == padded {
            Ok(asset)
        } else {
            Err(NameError::Unprintable {
                character: '\0',
                at: name.len(),
            })
        }
    }

    /// The name, then zero bytes: a key of fixed length.
    #[inline]
    pub const fn padded(&self) -> &[u8; MAX_ASSET_BYTES] {
        &self.padded
    }

    #[inline]
    pub fn as_str(&self) -> &str {
        // It is UTF-8: it was a `str`.
        str::from_utf8(name_of(&self.padded)).unwrap_or_default()
    }
}

/// The bytes before the first zero.
impl Ord for Asset {
    /// By bytes, sixteen at once: every posting looks for its asset.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let half = |asset: &Self, number| asset.padded.as_chunks().0.get(number).copied().map(u128::from_be_bytes);
        let compared = |number| half(self, number).cmp(&half(other, number));
        compared(0).then_with(|| compared(1))
    }
}

impl PartialOrd for Asset {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[inline]
fn name_of(padded: &[u8; MAX_ASSET_BYTES]) -> &[u8] {
    padded.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cold]
fn check_characters(text: &str) -> Result<(), NameError> {
    for (at, character) in text.char_indices() {
        if is_unprintable(character) {
            return Err(NameError::Unprintable { character, at });
        }
        if character == ':' || is_white_space(character) {
            return Err(NameError::NotOfAsset { character, at });
        }
    }
    Ok(())
}

/// A text that is no name of an asset. The message is a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAssetName {
    error: NameError,
    /// The text without the blanks around it, if that is a name.
    meant: Option<Asset>,
}

impl fmt::Display for NoAssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is no asset name: it {}", self.error)?;
        match self.meant {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NoAssetName {}

impl std::str::FromStr for Asset {
    type Err = NoAssetName;

    fn from_str(text: &str) -> Result<Asset, NoAssetName> {
        Asset::parse(text).map_err(|error| NoAssetName {
            error,
            meant: Asset::parse(text.trim()).ok(),
        })
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
        struct AssetVisitor;
        impl de::Visitor<'_> for AssetVisitor {
            type Value = Asset;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an asset")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Asset, E> {
                Asset::parse(text).map_err(|error| E::custom(format!("{text} {error}")))
            }
        }
        deserializer.deserialize_str(AssetVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn assets() {
        let longest = "a".repeat(32);
        for name in [
            "A",
            "0",
            "ATOM",
            "USDe",
            "DOT.S",
            "币安人生",
            "1INCH",
            "-",
            "=1+1",
            "../..",
            "a|b",
            "é\u{301}",
            "A\u{3164}",
            &longest,
        ] {
            let asset = Asset::parse(name).unwrap();
            assert_eq!((asset.as_str(), asset.to_string().as_str()), (name, name));
            assert_eq!(Asset::from_padded(*asset.padded()), Ok(asset));
        }
        assert_ne!(Asset::parse("USDe"), Asset::parse("USDE"));
        // A letter with an accent, and the same letter and accent as two characters.
        assert_ne!(Asset::parse("\u{e9}"), Asset::parse("e\u{301}"));
    }

    #[test]
    fn texts_that_are_no_assets() {
        let too_long = "币".repeat(11);
        for (name, reason) in [
            ("", "is empty"),
            (&*too_long, "has 33 bytes, more than the 32 allowed"),
            (
                "AT OM",
                "has the character U+0020 at byte 2, which no asset's name may have",
            ),
            (
                "ATOM:5",
                "has the character U+003A at byte 4, which no asset's name may have",
            ),
            (
                "A\u{3000}",
                "has the character U+3000 at byte 1, which no asset's name may have",
            ),
            ("A\0", "has the unprintable character U+0000 at byte 1"),
            ("币\u{202e}", "has the unprintable character U+202E at byte 3"),
            ("A\n", "has the unprintable character U+000A at byte 1"),
            ("A\u{2028}", "has the unprintable character U+2028 at byte 1"),
        ] {
            assert_eq!(Asset::parse(name).unwrap_err().to_string(), reason, "{name:?}");
        }
        let error = " ATOM".parse::<Asset>().unwrap_err().to_string();
        assert!(
            error.starts_with("is no asset name: it has the character U+0020"),
            "{error}"
        );
        assert!(error.ends_with("; did you mean ATOM?"), "{error}");
        let padded = |name: &[u8]| {
            let mut padded = [0; 32];
            padded[..name.len()].copy_from_slice(name);
            padded
        };
        for name in [&b"A\0B"[..], b"\0A", b"", b"\xff", b"A B", b"\xe5\xb8"] {
            assert!(Asset::from_padded(padded(name)).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn assets_sort_as_their_names(a in "[^\\pC\\pZ:]{1,8}", b in "[^\\pC\\pZ:]{1,8}") {
            let (left, right) = (Asset::parse(&a).unwrap(), Asset::parse(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.padded().cmp(right.padded()), a.cmp(&b));
        }

        #[test]
        fn a_name_is_an_asset_if_its_characters_are(text: String) {
            let fits = (1..=32).contains(&text.len());
            let allowed = |character: char| !is_unprintable(character) && !character.is_whitespace() && character != ':';
            prop_assert_eq!(Asset::parse(&text).is_ok(), fits && text.chars().all(allowed));
        }
    }
}
