//! Which deployment on which bus.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The id of a deployment. It is made when the deployment begins, and kept in its record on the bus.
///
/// A deployment that begins again under the same name, on topics that were made anew, has another id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeploymentId(Uuid);

impl DeploymentId {
    /// A new id, unlike all others.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As its 16 bytes; in a format for people, as text.
impl Serialize for DeploymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.0.as_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeploymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(Uuid::from_bytes(bytes)));
        }
        let text = String::deserialize(deserializer)?;
        let id = Uuid::parse_str(&text).map_err(|_| serde::de::Error::custom("the id of a deployment is a UUID"))?;
        Ok(Self(id))
    }
}

/// A deployment, and the bus that it is on. Stores and snapshots belong to one.
///
/// A copy of a bus has the same: only the digests of positions tell a copy that went its own way from the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentIdentity {
    /// The identity of the bus.
    pub bus: String,
    pub id: DeploymentId,
}

impl fmt::Display for DeploymentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bus {}, begun as {}", self.bus, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_written() {
        let identity = DeploymentIdentity {
            bus: "a bus".into(),
            id: DeploymentId(Uuid::from_u128(7)),
        };
        let json = r#"{"bus":"a bus","id":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(serde_json::to_string(&identity).unwrap(), json);
        assert_eq!(serde_json::from_str::<DeploymentIdentity>(json).unwrap(), identity);
        let bytes = postcard::to_stdvec(&identity.id).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(postcard::from_bytes::<DeploymentId>(&bytes).unwrap(), identity.id);
        assert!(serde_json::from_str::<DeploymentId>("\"7\"").is_err());
        assert_ne!(DeploymentId::random(), DeploymentId::random());
    }
}
