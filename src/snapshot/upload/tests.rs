use super::*;
use crate::bus::{DeploymentId, DeploymentIdentity, Mark, Topic};

/// Snapshots at these times, each of one file of its own and one file that all share.
fn snapshots_at(folder: &Path, times: &[u128]) -> (Remote, SnapshotSeries) {
    let remote = Remote::open(&folder.display().to_string().parse().unwrap()).unwrap();
    let series = series();
    for time in times {
        let own = hex::encode(Sha256::digest(time.to_be_bytes()));
        let files = [("shared", "5".repeat(64)), ("own", own)].map(|(name, sha256)| {
            remote.put(&format!("{}/{sha256}", series.files()), vec![1]).unwrap();
            SnapshotFile {
                name: name.into(),
                bytes: 1,
                sha256,
            }
        });
        let manifest = SnapshotManifest::new(&series, "then".into(), Position::default(), files.to_vec());
        let (name, text) = manifest.write(*time).unwrap();
        remote.put(&format!("{}/{name}", series.snapshots()), text).unwrap();
    }
    (remote, series)
}

fn count(remote: &Remote, folder: &str) -> usize {
    remote.list(folder).unwrap().len()
}

#[test]
fn old_files_that_no_kept_snapshot_names_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (remote, series) = snapshots_at(folder.path(), &[1, 2, 3, 4]);
    // A young file may belong to an upload that is under way.
    prune(&remote, &series, 2, UNNAMED_FOR).unwrap();
    assert_eq!(
        (count(&remote, &series.snapshots()), count(&remote, &series.files())),
        (2, 5)
    );
    prune(&remote, &series, 2, Duration::ZERO).unwrap();
    assert_eq!(
        (count(&remote, &series.snapshots()), count(&remote, &series.files())),
        (2, 3)
    );
    // At least one snapshot is kept.
    prune(&remote, &series, 0, Duration::ZERO).unwrap();
    assert_eq!(
        (count(&remote, &series.snapshots()), count(&remote, &series.files())),
        (1, 2)
    );
}

#[test]
fn no_file_is_removed_while_a_manifest_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (remote, series) = snapshots_at(folder.path(), &[1, 2]);
    let damaged = format!("{}/000000000000003-0123456789abcdef.json", series.snapshots());
    remote.put(&damaged, b"{}".to_vec()).unwrap();
    prune(&remote, &series, 2, Duration::ZERO).unwrap();
    assert_eq!(
        (count(&remote, &series.snapshots()), count(&remote, &series.files())),
        (2, 3)
    );
}

fn series() -> SnapshotSeries {
    let deployment = DeploymentIdentity {
        bus: "a bus".into(),
        id: DeploymentId::random(),
    };
    SnapshotSeries::new(&deployment, "task", "somebody")
}

/// A position that has read these records of the ledger.
fn position(records: &[&str]) -> Position {
    let mut mark = Mark::default();
    for record in records {
        mark.add(record.as_bytes());
        mark.offset = mark.offset.saturating_add(1);
    }
    let mut position = Position::default();
    position.inputs.insert(Topic::Ledger.partition(0), mark);
    position
}

/// An uploader of a process with its one task, at a place that other processes may have, too.
struct Instance {
    uploader: Uploader,
    series: SnapshotSeries,
    alone: bool,
    outcome: Arc<UploadOutcome>,
}

impl Instance {
    fn new(place: &Path, series: &SnapshotSeries, alone: bool) -> Self {
        let remote = Remote::open(&place.display().to_string().parse().unwrap()).unwrap();
        Self {
            uploader: Uploader::new(Arc::new(remote), 3, Arc::default(), Arc::default()),
            series: series.clone(),
            alone,
            outcome: Arc::default(),
        }
    }

    fn upload(&mut self, records: &[&str]) -> Result<(), String> {
        let checkpoint = tempfile::tempdir().unwrap();
        fs::write(checkpoint.path().join("CURRENT"), records.concat()).unwrap();
        // The names of snapshots have the time in milliseconds.
        std::thread::sleep(Duration::from_millis(2));
        let job = UploadJob {
            series: self.series.clone(),
            folder: checkpoint.path().to_owned(),
            position: position(records),
            alone: self.alone,
            entry: Arc::<SnapshotFigures>::default().enter(),
            taken: Instant::now(),
            outcome: Arc::clone(&self.outcome),
        };
        self.uploader.upload(&job).map_err(|error| {
            assert!(error.is_refusal(), "{error}");
            error.to_string()
        })
    }

    fn count(&self) -> usize {
        count(&self.uploader.remote, &self.series.snapshots())
    }
}

#[test]
fn a_state_is_uploaded_once() {
    let (place, series) = (tempfile::tempdir().unwrap(), series());
    let mut instance = Instance::new(place.path(), &series, true);
    let mut counts = Vec::new();
    for records in [&["a"][..], &["a"], &["a", "b"], &["a", "b"], &["a", "b", "c"]] {
        instance.upload(records).unwrap();
        counts.push(instance.count());
    }
    assert_eq!(counts, [1, 1, 2, 2, 3]);
    // A process that starts again knows it, too.
    let mut again = Instance::new(place.path(), &series, true);
    again.upload(&["a", "b", "c"]).unwrap();
    assert_eq!(again.count(), 3);
}

#[test]
fn a_snapshot_of_another_log_ends_the_uploads() {
    for alone in [true, false] {
        let (place, series) = (tempfile::tempdir().unwrap(), series());
        let [mut ours, mut copys] = [(); 2].map(|()| Instance::new(place.path(), &series, alone));
        ours.upload(&["a"]).unwrap();
        copys.upload(&["a", "x"]).unwrap();
        let error = ours.upload(&["a", "b"]).unwrap_err();
        assert!(
            error.contains("other records of softstake.ledger:0 before offset 2"),
            "{error}"
        );
        assert_eq!(ours.count(), 2);
        assert!(!ours.uploader.try_upload(&UploadJob {
            series: series.clone(),
            folder: place.path().join("none"),
            position: position(&["a", "b"]),
            alone,
            entry: Arc::<SnapshotFigures>::default().enter(),
            taken: Instant::now(),
            outcome: Arc::default(),
        }));
        assert!(ours.uploader.refusal.is_set());
    }
}

#[test]
fn a_snapshot_that_another_process_took_meanwhile_is_told() {
    for (theirs, ours_then, why) in [
        (
            &["a", "x", "y", "z"][..],
            &["a", "b"][..],
            "it has read further than this process",
        ),
        (&["a", "x"], &["a", "b", "c"], "another process took it"),
    ] {
        // No task of a process that is alone moves to another.
        let (place, series) = (tempfile::tempdir().unwrap(), series());
        let [mut ours, mut copys] = [(); 2].map(|()| Instance::new(place.path(), &series, true));
        ours.upload(&["a"]).unwrap();
        copys.upload(theirs).unwrap();
        let error = ours.upload(ours_then).unwrap_err();
        assert!(error.contains(why) && error.contains("a place of its own"), "{error}");
        assert_eq!(ours.count(), 2);

        // Among several instances, it may have been the one that has the task now, or had it before.
        let place = tempfile::tempdir().unwrap();
        let [mut ours, mut others] = [(); 2].map(|()| Instance::new(place.path(), &series, false));
        ours.upload(&["a"]).unwrap();
        others.upload(theirs).unwrap();
        ours.upload(ours_then).unwrap();
        ours.upload(ours_then).unwrap();
    }
}
