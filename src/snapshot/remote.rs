//! The object store of the snapshots: it writes and reads whole objects, and checks their SHA-256.

use std::future::Future;
use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::buffered::BufWriter;
use object_store::path::Path as Name;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::snapshot::bucket::{self, Bucket, Secrets};
use crate::snapshot::error::SnapshotError;
use crate::snapshot::manifest::SnapshotFile;
use crate::snapshot::place::{PlaceKind, SnapshotPlace};

/// The number of files that are transferred at a time.
const TRANSFERS: usize = 4;
/// Bytes of a file in memory at a time.
const CHUNK_BYTES: usize = 8 << 20;
/// The most objects that a folder may have. A store has some thousand files.
const MAX_LISTED: usize = 1_000_000;

/// Removes a local folder with everything in it. It may be missing already.
pub(super) fn remove_folder(folder: &Path) -> Result<(), SnapshotError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SnapshotError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// A folder of an object store.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    root: Name,
    /// The folder, if the place is one.
    folder: Option<PathBuf>,
    runtime: Arc<Runtime>,
    secrets: Arc<Secrets>,
    /// The longest wait for a request; `None` for as long as the client tries.
    patience: Option<Duration>,
    /// For messages.
    place: String,
}

pub(super) struct RemoteObject {
    /// The last part of the name.
    pub name: String,
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Remote {
    /// Opens a place. Credentials come from the environment.
    pub fn open(place: &SnapshotPlace) -> Result<Self, SnapshotError> {
        let rejected = |why: String| SnapshotError::Place {
            place: place.to_string(),
            why,
            correct: match place.kind {
                PlaceKind::Folder(_) => "`snapshots.place`",
                PlaceKind::Bucket(..) => "the variables of the object store, or `snapshots.place`",
            },
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("snapshots")
            .enable_all()
            .build()
            .map_err(|error| rejected(error.to_string()))?;
        let (bucket, root, folder) = match &place.kind {
            PlaceKind::Bucket(provider, url) => {
                let variables = std::env::vars_os()
                    .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
                let root = Name::from_url_path(url.path()).map_err(|error| rejected(error.to_string()))?;
                let bucket = bucket::open(*provider, url, variables).map_err(rejected)?;
                (bucket, root, None)
            }
            PlaceKind::Folder(folder) => {
                let folder = std::path::absolute(folder)
                    .and_then(|folder| std::fs::create_dir_all(&folder).map(|()| folder))
                    .map_err(|error| rejected(error.to_string()))?;
                let store = object_store::local::LocalFileSystem::new_with_prefix(&folder)
                    .map_err(|error| rejected(error.to_string()))?
                    .with_fsync(true);
                let bucket = Bucket {
                    store: Arc::new(store),
                    secrets: Secrets::default(),
                };
                (bucket, Name::default(), Some(folder))
            }
        };
        Ok(Self {
            store: bucket.store,
            root,
            place: folder
                .as_ref()
                .map_or_else(|| place.to_string(), |folder| folder.display().to_string()),
            folder,
            runtime: Arc::new(runtime),
            secrets: Arc::new(bucket.secrets),
            patience: None,
        })
    }

    /// The same place, for requests that wait at most this long.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..self.clone()
        }
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    fn name(&self, name: &str) -> Name {
        self.root.parts().chain(name.split('/').map(Into::into)).collect()
    }

    fn wait<T>(
        &self,
        action: &'static str,
        name: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SnapshotError> {
        self.run(action, name, async {
            work.await.map_err(|error| self.failed(action, name, error))
        })
    }

    /// Waits for a request. A panic of the client is an error, too.
    fn run<T>(
        &self,
        action: &'static str,
        name: &str,
        work: impl Future<Output = Result<T, SnapshotError>>,
    ) -> Result<T, SnapshotError> {
        let work = AssertUnwindSafe(work).catch_unwind();
        let done = self.runtime.block_on(async {
            match self.patience {
                Some(patience) => tokio::time::timeout(patience, work).await,
                None => Ok(work.await),
            }
        });
        match done {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(self.remote(action, name, "its client has panicked")),
            Err(_) => Err(self.remote(action, name, "there was no answer in time")),
        }
    }

    fn failed(&self, action: &'static str, name: &str, error: object_store::Error) -> SnapshotError {
        match error {
            object_store::Error::NotFound { .. } if matches!(action, "read" | "move" | "remove") => {
                SnapshotError::damaged(name, "it is missing")
            }
            error => self.remote(action, name, &error.to_string()),
        }
    }

    fn remote(&self, action: &'static str, name: &str, why: &str) -> SnapshotError {
        SnapshotError::Remote {
            action,
            name: name.to_owned(),
            place: self.place.clone(),
            why: self.secrets.hide_in(why),
        }
    }

    pub fn put(&self, name: &str, contents: Vec<u8>) -> Result<(), SnapshotError> {
        let at = self.name(name);
        self.wait("write", name, self.store.put(&at, PutPayload::from(contents)))
            .map(drop)
    }

    /// Reads an object of at most `most` bytes.
    pub fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, SnapshotError> {
        self.find(name, most)?
            .ok_or_else(|| SnapshotError::damaged(name, "it is missing"))
    }

    /// Reads an object of at most `most` bytes; `None` if it is missing. More is never read, whatever the object store sends.
    pub fn find(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.check_regular(name)?;
        let at = self.name(name);
        let too_long = || SnapshotError::damaged(name, format!("it has more than the {most} bytes that it may have"));
        self.run("read", name, async {
            let got = match self.store.get(&at).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                got => got.map_err(|error| self.failed("read", name, error))?,
            };
            if got.meta.size > most {
                return Err(too_long());
            }
            let (mut chunks, mut bytes) = (got.into_stream(), Vec::new());
            while let Some(chunk) = chunks.next().await {
                bytes.extend_from_slice(&chunk.map_err(|error| self.failed("read", name, error))?);
                if bytes.len() as u64 > most {
                    return Err(too_long());
                }
            }
            Ok(Some(bytes))
        })
    }

    /// Fails if a FIFO, a device or a folder has the name of an object: a read of it might never end.
    fn check_regular(&self, name: &str) -> Result<(), SnapshotError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match std::fs::metadata(folder.join(name)) {
            Ok(meta) if !meta.is_file() => Err(SnapshotError::damaged(name, "it is no regular file")),
            _ => Ok(()),
        }
    }

    /// Creates an object. Returns `false` if it exists already.
    pub fn create(&self, name: &str, contents: Vec<u8>) -> Result<bool, SnapshotError> {
        let (at, contents) = (self.name(name), PutPayload::from(contents));
        self.wait("write", name, async {
            use object_store::Error;
            match self.store.put_opts(&at, contents.clone(), PutMode::Create.into()).await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
                // Some object stores cannot do it in one step.
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                    self.store.put(&at, contents).await.map(|_| true)
                }
                created => created.map(|_| true),
            }
        })
    }

    /// The objects of a folder, sorted by name. Those of folders in it are left out.
    pub fn list(&self, folder: &str) -> Result<Vec<RemoteObject>, SnapshotError> {
        let at = self.name(folder);
        let listed = self.store.list(Some(&at)).take(MAX_LISTED.saturating_add(1));
        let listed = self.wait("list", folder, listed.try_collect::<Vec<_>>())?;
        if listed.len() > MAX_LISTED {
            return Err(self.remote("list", folder, &format!("it has more than {MAX_LISTED} objects")));
        }
        let mut objects: Vec<RemoteObject> = listed
            .into_iter()
            .filter_map(|object| {
                let mut parts = object.location.prefix_match(&at)?;
                let name = parts.next().filter(|_| parts.next().is_none())?;
                Some(RemoteObject {
                    name: name.as_ref().to_owned(),
                    bytes: object.size,
                    modified: object.last_modified.into(),
                })
            })
            .collect();
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Removes an object. It may be missing already.
    pub fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        let at = self.name(name);
        match self.wait("remove", name, self.store.delete(&at)) {
            Err(SnapshotError::Damaged { .. }) => Ok(()),
            removed => removed,
        }
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), SnapshotError> {
        let (source, target) = (self.name(from), self.name(to));
        self.wait("move", from, self.store.rename(&source, &target))
    }

    /// Copies files to objects, given the name of the object and the path of the file.
    pub fn put_files(&self, files: Vec<(String, PathBuf)>) -> Result<(), SnapshotError> {
        let work = stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(
                TRANSFERS,
                |(name, path)| async move { self.put_file(&name, &path).await },
            );
        self.run("write", "files", work)
    }

    async fn put_file(&self, name: &str, path: &Path) -> Result<(), SnapshotError> {
        let mut file = tokio::fs::File::open(path)
            .await
            .map_err(SnapshotError::io("open", path))?;
        let mut writer = BufWriter::with_capacity(Arc::clone(&self.store), self.name(name), CHUNK_BYTES);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut limited = tokio::io::AsyncReadExt::take(&mut file, CHUNK_BYTES as u64);
            tokio::io::AsyncReadExt::read_to_end(&mut limited, &mut chunk)
                .await
                .map_err(SnapshotError::io("read", path))?;
            if chunk.is_empty() {
                break;
            }
            writer
                .put(Bytes::from(chunk))
                .await
                .map_err(|error| self.failed("write", name, error))?;
        }
        tokio::io::AsyncWriteExt::shutdown(&mut writer).await.map_err(|error| {
            self.failed(
                "write",
                name,
                object_store::Error::Generic {
                    store: "upload",
                    source: error.into(),
                },
            )
        })
    }

    /// Copies objects to files in `folder`, and checks their SHA-256. The files are durable when this returns.
    pub fn get_files(&self, files: &[(String, &SnapshotFile)], folder: &Path) -> Result<(), SnapshotError> {
        let work = stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(TRANSFERS, |(name, file)| self.get_file(name, file, folder));
        self.run("read", "files", work)
    }

    async fn get_file(&self, name: &str, file: &SnapshotFile, folder: &Path) -> Result<(), SnapshotError> {
        self.check_regular(name)?;
        let got = self.store.get(&self.name(name)).await;
        let got = got.map_err(|error| self.failed("read", name, error))?;
        if got.meta.size != file.bytes {
            return Err(file.has_other_size(name, got.meta.size));
        }
        let mut target = HashedFile::new(name, folder.join(&file.name), file.bytes)?;
        let sum = match got.payload {
            GetResultPayload::File(mut source, from) => {
                let copied = tokio::task::spawn_blocking(move || {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    loop {
                        let read = source.read(&mut chunk).map_err(SnapshotError::io("read", &from))?;
                        if read == 0 {
                            return target.finish();
                        }
                        target.add(&chunk[..read])?;
                    }
                });
                copied.await.map_err(|error| {
                    let source = object_store::Error::JoinError { source: error };
                    self.failed("read", name, source)
                })??
            }
            GetResultPayload::Stream(mut chunks) => {
                while let Some(chunk) = chunks.next().await {
                    target.add(&chunk.map_err(|error| self.failed("read", name, error))?)?;
                }
                target.finish()?
            }
        };
        if sum != file.sha256 {
            return Err(SnapshotError::damaged(
                name,
                format!(
                    "it should be {}, but has SHA-256 {sum} instead of the one in its name",
                    file.name
                ),
            ));
        }
        Ok(())
    }
}

/// A file that is being written, and its SHA-256 so far.
struct HashedFile {
    /// The name of the object that it is a copy of.
    object: String,
    path: PathBuf,
    file: std::fs::File,
    sum: Sha256,
    /// The bytes that are still to come.
    left: u64,
}

impl HashedFile {
    fn new(object: &str, path: PathBuf, bytes: u64) -> Result<Self, SnapshotError> {
        let file = std::fs::File::create(&path).map_err(SnapshotError::io("create", &path))?;
        Ok(Self {
            object: object.to_owned(),
            path,
            file,
            sum: Sha256::new(),
            left: bytes,
        })
    }

    /// Fails, and writes nothing, if these are more bytes than the object may have.
    fn add(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left =
            left.ok_or_else(|| SnapshotError::damaged(&self.object, "it has more bytes than its manifest says"))?;
        self.sum.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(SnapshotError::io("write", &self.path))
    }

    fn finish(self) -> Result<String, SnapshotError> {
        self.file.sync_all().map_err(SnapshotError::io("write", &self.path))?;
        Ok(hex::encode(self.sum.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn remote(folder: &Path) -> Remote {
        Remote::open(&folder.display().to_string().parse().unwrap()).unwrap()
    }

    #[test]
    fn no_more_is_read_than_an_object_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let remote = remote(folder.path());
        remote.put("a/object", vec![7; 100]).unwrap();
        assert_eq!(remote.get("a/object", 100).unwrap(), vec![7; 100]);
        let error = remote.get("a/object", 99).unwrap_err().to_string();
        assert_eq!(
            error,
            "a/object is damaged: it has more than the 99 bytes that it may have"
        );
        assert!(remote.find("a/missing", 99).unwrap().is_none());
        // A gigabyte of zeros that takes no room on the disk.
        fs::File::create(folder.path().join("large"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        remote.find("large", 99).unwrap_err();
    }

    #[test]
    fn what_is_no_regular_file_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let remote = remote(folder.path());
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("fifo"))
            .status();
        assert!(made.unwrap().success());
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("device")).unwrap();
        for name in ["fifo", "folder", "device"] {
            let error = remote.find(name, 99).unwrap_err().to_string();
            assert_eq!(error, format!("{name} is damaged: it is no regular file"));
        }
    }

    #[test]
    fn objects_of_folders_below_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let remote = remote(folder.path());
        for name in ["a/one", "a/two", "a/below/three", "ab/four"] {
            remote.put(name, vec![1]).unwrap();
        }
        let listed = remote.list("a").unwrap();
        let names: Vec<_> = listed
            .iter()
            .map(|object| (object.name.as_str(), object.bytes))
            .collect();
        assert_eq!(names, [("one", 1), ("two", 1)]);
    }

    #[test]
    fn a_file_gets_no_more_bytes_than_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = HashedFile::new("an object", path.clone(), 5).unwrap();
        file.add(b"012").unwrap();
        let error = file.add(b"345").unwrap_err().to_string();
        assert!(error.contains("an object is damaged: it has more bytes"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"012");
    }
}
