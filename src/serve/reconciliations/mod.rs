//! Results of `softstake reconcile` that a scheduled job has put into a folder.
//!
//! The files come from another program, so none is trusted: their number and what is read of each is bounded, and a file that is none of ours is named
//! with the reason.

mod document;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::reconciliation::{ReconciledScope, ReconciliationKind};
use crate::core::values::time::TimeMs;
use crate::serve::reconciliations::document::{ReadResult, read_result};

pub use document::Disagreement;

/// The most results that are shown: the newest.
const MOST_FILES: usize = 100;
/// The most names that are looked at.
const MOST_NAMES: usize = 20_000;
/// How much of a file is read. What is needed comes first in it.
const MOST_BYTES: u64 = 256 << 10;
/// The bytes at the end of a longer file that tell whether it is whole.
const END_BYTES: u64 = 64;

/// A result of `softstake reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReconciliationResult {
    /// The name of the file.
    pub file: String,
    /// `records`, `payouts` or `balances`: what was compared with the log.
    #[schema(value_type = String)]
    pub kind: ReconciliationKind,
    pub made_at: String,
    /// The address of the bus.
    pub bus: String,
    /// The topic or file that the log was compared with; null for the published records.
    pub with: Option<String>,
    /// The asset and the epoch that were compared; null for all.
    pub asset: Option<String>,
    pub epoch: Option<u64>,
    /// Whether all that was asked for was compared, and agrees.
    pub agrees: bool,
    /// How many things do not agree.
    pub disagreements: u64,
    /// The result in a sentence.
    pub verdict: String,
    /// The first of them, at most 20.
    pub first_disagreements: Vec<Disagreement>,
}

/// A file that is no result, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnreadableResult {
    /// The name of the file; empty if the folder itself cannot be read.
    pub file: String,
    pub reason: String,
}

/// What is in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReconciliationResults {
    /// Whether a folder is set (`serve.reconcile_results`).
    pub is_set: bool,
    /// The newest first.
    pub items: Vec<ReconciliationResult>,
    /// By name.
    pub unreadable: Vec<UnreadableResult>,
    /// How many older files were not read.
    pub left_out: u64,
}

/// What a file was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileState {
    changed: SystemTime,
    bytes: u64,
}

type FileResult = Result<ReconciliationResult, String>;

/// A folder of results.
#[derive(Debug)]
pub struct ReconciliationFolder {
    path: PathBuf,
    /// What was read of each file that is shown, so that nothing is read twice.
    read: Mutex<BTreeMap<String, (FileState, FileResult)>>,
}

impl ReconciliationFolder {
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::new(BTreeMap::new()),
        }
    }

    /// The newest results. What cannot be read is among the answer.
    #[must_use]
    pub fn results(&self) -> ReconciliationResults {
        let mut results = ReconciliationResults {
            is_set: true,
            ..ReconciliationResults::default()
        };
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                results.unreadable.push(UnreadableResult {
                    file: String::new(),
                    reason: format!("the folder of `serve.reconcile_results` cannot be read: {error}"),
                });
                return results;
            }
        };
        results.left_out = files.len().saturating_sub(MOST_FILES) as u64;
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shown = BTreeMap::new();
        for (state, file) in files.into_iter().take(MOST_FILES) {
            let kept = known.remove(&file).filter(|(before, _)| *before == state);
            let read = kept.map_or_else(|| read_file(&self.path, &file), |(_, read)| read);
            match &read {
                Ok(result) => results.items.push(result.clone()),
                Err(reason) => results.unreadable.push(UnreadableResult {
                    file: file.clone(),
                    reason: reason.clone(),
                }),
            }
            shown.insert(file, (state, read));
        }
        *known = shown;
        drop(known);
        results
            .items
            .sort_by(|a, b| b.made_at.cmp(&a.made_at).then_with(|| a.file.cmp(&b.file)));
        results.unreadable.sort_by(|a, b| a.file.cmp(&b.file));
        results
    }

    /// The files with a name of ours, those that were changed last first. A name that begins with a dot is not complete yet.
    fn files(&self) -> io::Result<Vec<(FileState, String)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)?.take(MOST_NAMES) {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !name.ends_with(".json") {
                continue;
            }
            // A link counts as what it leads to. A file that went away meanwhile is none.
            let Ok(found) = fs::metadata(entry.path()) else {
                continue;
            };
            if !found.is_file() {
                continue;
            }
            let state = FileState {
                changed: found.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                bytes: found.len(),
            };
            files.push((state, name));
        }
        files.sort_by(|a, b| b.cmp(a));
        Ok(files)
    }
}

/// Reads a file, or tells why it is no result.
fn read_file(folder: &Path, file: &str) -> FileResult {
    let (bytes, is_whole) = read_bytes(&folder.join(file)).map_err(|error| format!("it cannot be read: {error}"))?;
    let ReadResult {
        kind,
        made_at,
        compared,
        agrees,
        disagreements,
        verdict,
        first,
    } = read_result(&bytes, is_whole)?;
    let made_at = TimeMs::parse(&made_at).map_err(|error| format!("`made_at` {error}"))?;
    let ReconciledScope {
        bus,
        with,
        asset,
        epoch,
    } = compared;
    Ok(ReconciliationResult {
        file: file.to_owned(),
        kind,
        made_at: made_at.to_string(),
        bus,
        with,
        asset: asset.map(|asset| asset.to_string()),
        epoch: epoch.map(|epoch| epoch.get()),
        agrees,
        disagreements,
        verdict,
        first_disagreements: first,
    })
}

/// The beginning of a file, and whether that is all of it.
fn read_bytes(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    let is_whole = bytes.len() as u64 <= MOST_BYTES;
    if !is_whole {
        let end = i64::try_from(END_BYTES).unwrap_or(0);
        file.seek(SeekFrom::End(-end))?;
        let mut last = Vec::new();
        file.take(END_BYTES).read_to_end(&mut last)?;
        if last.trim_ascii_end().last() != Some(&b'}') {
            return Err(io::Error::other("it is torn: it does not end like a result"));
        }
    }
    Ok((bytes, is_whole))
}

#[cfg(test)]
mod tests;
