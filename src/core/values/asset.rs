//! Names of assets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::core::values::account::NameError;

/// The longest asset name, in bytes.
pub const MAX_ASSET_BYTES: usize = 16;

/// The name of an asset, `[A-Z0-9]{1,16}`. Names and their padded forms have the same order: that of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    /// The name, then zeros.
    padded: [u8; MAX_ASSET_BYTES],
}

impl Asset {
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

    /// Reads [`Asset::padded`].
    ///
    /// # Errors
    /// [`NameError::Asset`].
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

    /// The name, then zero bytes: a key of fixed length.
    #[inline]
    pub const fn padded(&self) -> &[u8; MAX_ASSET_BYTES] {
        &self.padded
    }

    #[inline]
    pub fn as_str(&self) -> &str {
        // A name holds no zero and is ASCII, so no default is ever used.
        let length = self
            .padded
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(MAX_ASSET_BYTES);
        str::from_utf8(self.padded.get(..length).unwrap_or_default()).unwrap_or_default()
    }
}

/// A text that is no name of an asset. The message is a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAssetName {
    /// The name in capital letters, if that is one.
    meant: Option<Asset>,
}

impl fmt::Display for NoAssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&NameError::Asset, f)?;
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
        Asset::parse(text).map_err(|_| NoAssetName {
            meant: Asset::parse(&text.trim().to_ascii_uppercase()).ok(),
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

    proptest! {
        #[test]
        fn assets_sort_as_their_names(a in "[A-Z0-9]{1,16}", b in "[A-Z0-9]{1,16}") {
            let (left, right) = (Asset::parse(&a).unwrap(), Asset::parse(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.padded().cmp(right.padded()), a.cmp(&b));
        }
    }
}
