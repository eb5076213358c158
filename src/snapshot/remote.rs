//! An object store as snapshots use it: whole files in, whole files out, their sums taken on the way.

use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::buffered::BufWriter;
use object_store::path::Path as Name;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use url::Url;

use crate::snapshot::SnapshotError;
use crate::snapshot::manifest::File;

/// Files on their way at a time.
const AT_A_TIME: usize = 4;
/// Bytes of a file in memory at a time.
const CHUNK: usize = 8 << 20;

/// A folder of an object store.
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    root: Name,
    runtime: Runtime,
    shown: String,
}

/// An object in a list.
pub(super) struct Listed {
    /// The last part of its name.
    pub name: String,
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Remote {
    /// Opens the store that a path or a URL names; where it needs credentials, they come from the environment.
    pub fn open(place: &str) -> Result<Self, SnapshotError> {
        let refused = |why: String| SnapshotError::Place {
            place: place.to_owned(),
            why,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("snapshots")
            .enable_all()
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let local = match Url::parse(place) {
            Ok(url) if url.scheme() == "file" => {
                Some(url.to_file_path().map_err(|()| refused("it is no path".into()))?)
            }
            Ok(url) => {
                // The object store's own variables: AWS_*, GOOGLE_*, AZURE_*. Others are not theirs and are passed over.
                let variables = std::env::vars_os().filter_map(|(name, value)| {
                    Some((name.into_string().ok()?.to_ascii_lowercase(), value.into_string().ok()?))
                });
                let (store, root) =
                    object_store::parse_url_opts(&url, variables).map_err(|error| refused(error.to_string()))?;
                return Ok(Self {
                    store: Arc::from(store),
                    root,
                    runtime,
                    shown: place.to_owned(),
                });
            }
            Err(_) => Some(PathBuf::from(place)),
        };
        let folder = local
            .map(std::path::absolute)
            .transpose()
            .and_then(|folder| {
                let folder = folder.unwrap_or_default();
                std::fs::create_dir_all(&folder).map(|()| folder)
            })
            .map_err(|error| refused(error.to_string()))?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| refused(error.to_string()))?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            root: Name::default(),
            runtime,
            shown: folder.display().to_string(),
        })
    }

    /// Where it is, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn name(&self, name: &str) -> Name {
        self.root.parts().chain(name.split('/').map(Into::into)).collect()
    }

    fn done<T>(
        &self,
        action: &'static str,
        name: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SnapshotError> {
        self.runtime
            .block_on(work)
            .map_err(|error| self.failed(action, name, error))
    }

    fn failed(&self, action: &'static str, name: &str, error: object_store::Error) -> SnapshotError {
        match error {
            object_store::Error::NotFound { .. } => SnapshotError::damaged(name, "it is not there"),
            source => SnapshotError::Remote {
                action,
                name: name.to_owned(),
                place: self.shown.clone(),
                source: Box::new(source),
            },
        }
    }

    /// Writes an object.
    pub fn put(&self, name: &str, contents: Vec<u8>) -> Result<(), SnapshotError> {
        let at = self.name(name);
        self.done("write", name, self.store.put(&at, PutPayload::from(contents)))
            .map(drop)
    }

    /// Reads a small object.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, SnapshotError> {
        let at = self.name(name);
        self.done("read", name, async { self.store.get(&at).await?.bytes().await })
            .map(|bytes| bytes.to_vec())
    }

    /// The objects of a folder, by name.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, SnapshotError> {
        let at = self.name(folder);
        let work = self.store.list(Some(&at)).try_collect::<Vec<_>>();
        let mut listed: Vec<Listed> = self
            .done("list", folder, work)?
            .into_iter()
            .filter_map(|object| {
                Some(Listed {
                    name: object.location.filename()?.to_owned(),
                    bytes: object.size,
                    modified: object.last_modified.into(),
                })
            })
            .collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Removes an object; one that is gone is removed.
    pub fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        let at = self.name(name);
        match self.done("remove", name, self.store.delete(&at)) {
            Err(SnapshotError::Damaged { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Puts an object under another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), SnapshotError> {
        let (source, target) = (self.name(from), self.name(to));
        self.done("move", from, self.store.rename(&source, &target))
    }

    /// Copies files to objects: the object's name, and the file.
    pub fn put_files(&self, files: Vec<(String, PathBuf)>) -> Result<(), SnapshotError> {
        let work = stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(
                AT_A_TIME,
                |(name, path)| async move { self.put_file(&name, &path).await },
            );
        self.runtime.block_on(work)
    }

    async fn put_file(&self, name: &str, path: &Path) -> Result<(), SnapshotError> {
        let mut file = tokio::fs::File::open(path)
            .await
            .map_err(SnapshotError::io("open", path))?;
        let mut writer = BufWriter::with_capacity(Arc::clone(&self.store), self.name(name), CHUNK);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let mut limited = tokio::io::AsyncReadExt::take(&mut file, CHUNK as u64);
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

    /// Copies objects to files in `folder`, each held against its sum. The files are durable when this returns.
    pub fn get_files(&self, files: &[(String, &File)], folder: &Path) -> Result<(), SnapshotError> {
        let work = stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(AT_A_TIME, |(name, file)| self.get_file(name, file, folder));
        self.runtime.block_on(work)
    }

    async fn get_file(&self, name: &str, file: &File, folder: &Path) -> Result<(), SnapshotError> {
        let path = folder.join(&file.name);
        let got = self.store.get(&self.name(name)).await;
        let got = got.map_err(|error| self.failed("read", name, error))?;
        let target = Target::new(path)?;
        let sum = match got.payload {
            GetResultPayload::File(mut source, from) => {
                let copied = tokio::task::spawn_blocking(move || {
                    let mut target = target;
                    let mut chunk = vec![0; CHUNK];
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
                    "it is to be {} and has SHA-256 {sum} instead of the one in its name",
                    file.name
                ),
            ));
        }
        Ok(())
    }
}

/// A file being written, and its sum.
struct Target {
    path: PathBuf,
    file: std::fs::File,
    sum: Sha256,
}

impl Target {
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
