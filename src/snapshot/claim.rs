//! The claim of a place: an object that says which deployment has its snapshots there.

use serde::{Deserialize, Serialize};

use crate::bus::DeploymentIdentity;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::remote::Remote;

/// The name of the object, directly in the place.
const NAME: &str = "deployment.json";

/// The version of the format.
const FORMAT: u32 = 1;
/// The most bytes of the object.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    format: u32,
    deployment: DeploymentIdentity,
}

/// Claims the place for `deployment`, if no deployment has it yet.
///
/// # Errors
/// `OtherDeployment` if another deployment has it.
pub(super) fn claim(remote: &Remote, deployment: &DeploymentIdentity) -> Result<(), SnapshotError> {
    let claim = Claim {
        format: FORMAT,
        deployment: deployment.clone(),
    };
    let damaged = |what: String| SnapshotError::Claim {
        name: NAME,
        place: remote.place().to_owned(),
        what,
    };
    let text = serde_json::to_vec_pretty(&claim).map_err(|error| damaged(error.to_string()))?;
    let unusable = |error| match error {
        SnapshotError::Damaged { what, .. } => damaged(what),
        error => error,
    };
    let found = match remote.find(NAME, MAX_BYTES).map_err(unusable)? {
        Some(found) => found,
        None if remote.create(NAME, text)? => return Ok(()),
        // Another process was faster.
        None => remote.get(NAME, MAX_BYTES).map_err(unusable)?,
    };
    let found: Claim = serde_json::from_slice(&found).map_err(|error| damaged(error.to_string()))?;
    if found.format != FORMAT {
        return Err(damaged(format!(
            "its format is {}, this softstake knows {FORMAT}",
            found.format
        )));
    }
    if found.deployment != *deployment {
        return Err(SnapshotError::OtherDeployment {
            place: remote.place().to_owned(),
            found: found.deployment,
            wanted: deployment.clone(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::DeploymentId;

    #[test]
    fn a_place_has_one_deployment() {
        let folder = tempfile::tempdir().unwrap();
        let remote = Remote::open(&folder.path().display().to_string().parse().unwrap()).unwrap();
        let deployment = |bus: &str| DeploymentIdentity {
            bus: bus.into(),
            id: DeploymentId::random(),
        };
        let (first, second) = (deployment("a bus"), deployment("a bus"));
        claim(&remote, &first).unwrap();
        claim(&remote, &first).unwrap();
        let error = claim(&remote, &second).unwrap_err().to_string();
        for part in [
            first.to_string(),
            second.to_string(),
            "give each deployment a place of its own".into(),
        ] {
            assert!(error.contains(&part), "{part}: {error}");
        }
        std::fs::remove_file(folder.path().join(NAME)).unwrap();
        claim(&remote, &second).unwrap();
        for text in [
            "",
            "{}",
            &" ".repeat(100_000),
            r#"{"format":2,"deployment":{"bus":"a bus","id":"x"}}"#,
        ] {
            std::fs::write(folder.path().join(NAME), text).unwrap();
            let error = claim(&remote, &second).unwrap_err().to_string();
            assert!(error.contains(NAME) && error.contains("cannot be used"), "{error}");
        }
    }
}
