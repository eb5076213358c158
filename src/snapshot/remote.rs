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
        let (bucket, root, place) = match &place.kind {
            PlaceKind::Bucket(provider, url) => {
                let variables = std::env::vars_os()
                    .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
                let root = Name::from_url_path(url.path()).map_err(|error| rejected(error.to_string()))?;
                let bucket = bucket::open(*provider, url, variables).map_err(rejected)?;
                (bucket, root, place.to_string())
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
                (bucket, Name::default(), folder.display().to_string())
            }
        };
        Ok(Self {
            store: bucket.store,
            root,
            runtime: Arc::new(runtime),
            secrets: Arc::new(bucket.secrets),
            patience: None,
            place,
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

    /// Reads a small object.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, SnapshotError> {
        let at = self.name(name);
        self.wait("read", name, async { self.store.get(&at).await?.bytes().await })
            .map(|bytes| bytes.to_vec())
    }

    /// Reads a small object; `None` if it is missing.
    pub fn find(&self, name: &str) -> Result<Option<Vec<u8>>, SnapshotError> {
        match self.get(name) {
            Err(SnapshotError::Damaged { .. }) => Ok(None),
            found => found.map(Some),
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

    /// The objects of a folder, sorted by name.
    pub fn list(&self, folder: &str) -> Result<Vec<RemoteObject>, SnapshotError> {
        let at = self.name(folder);
        let work = self.store.list(Some(&at)).try_collect::<Vec<_>>();
        let mut objects: Vec<RemoteObject> = self
            .wait("list", folder, work)?
            .into_iter()
            .filter_map(|object| {
                Some(RemoteObject {
                    name: object.location.filename()?.to_owned(),
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
        let path = folder.join(&file.name);
        let got = self.store.get(&self.name(name)).await;
        let got = got.map_err(|error| self.failed("read", name, error))?;
        let target = HashedFile::new(path)?;
        let sum = match got.payload {
            GetResultPayload::File(mut source, from) => {
                let copied = tokio::task::spawn_blocking(move || {
                    let mut target = target;
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
                let mut target = target;
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
    path: PathBuf,
    file: std::fs::File,
    sum: Sha256,
}

impl HashedFile {
    fn new(path: PathBuf) -> Result<Self, SnapshotError> {
        let file = std::fs::File::create(&path).map_err(SnapshotError::io("create", &path))?;
        let sum = Sha256::new();
        Ok(Self { path, file, sum })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
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
