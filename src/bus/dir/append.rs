//! Appends a line to an input file, as others do who write to a directory bus (`docs/bus-directory.md`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::bus::dir::layout::DirLayout;
use crate::bus::error::{FileError, OpenError};
use crate::core::contract::topic::{Topic, TopicPartition};

/// How long another writer may take for its line. A write that crosses a page is seen in parts for a moment, so one look would refuse a file in use.
const WAIT_FOR_LINE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Appends one record to a partition of an input topic, and makes it durable. Other writers may append at the same time: the line is one write to
/// the end of the file, and no lock is taken. If the last line of the file is not complete, it waits up to two seconds for it.
///
/// # Errors
/// If the directory is missing, the record has a line feed, the last line of the file stays incomplete, or the operating system refuses.
pub fn append_line(root: &Path, to: TopicPartition, record: &[u8]) -> Result<(), OpenError> {
    let layout = DirLayout::of(root)?;
    let (folder, path) = (layout.folder(to.topic), layout.file(to));
    let refused = |why: &str| OpenError::from(FileError::io("append to", &path)(io::Error::other(why.to_owned())));
    if memchr::memchr(b'\n', record).is_some() {
        return Err(refused("the record has a line feed"));
    }
    let is_new = !path.exists();
    fs::create_dir_all(&folder).map_err(FileError::io("create", &folder))?;
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .read(true)
        .append(true)
        .open(&path)
        .map_err(FileError::io("open", &path))?;
    let deadline = Instant::now() + WAIT_FOR_LINE;
    while !ends_whole(&mut file).map_err(FileError::io("read", &path))? {
        if Instant::now() >= deadline {
            return Err(refused(
                "its last line has no line feed: another writer is in the middle of it, or has stopped there; complete or remove that line, and try again",
            ));
        }
        thread::sleep(LOOK_AGAIN);
    }
    let mut line = record.to_vec();
    line.push(b'\n');
    file.write_all(&line).map_err(FileError::io("append to", &path))?;
    file.sync_all().map_err(FileError::io("make durable", &path))?;
    if is_new {
        for folder in [folder.as_path(), root] {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(FileError::io("make durable", folder))?;
        }
    }
    Ok(())
}

/// Locks the appends of one command to a topic, until the returned file is dropped or the process ends in any way. Writers that do not ask for the
/// lock are not kept away.
///
/// # Errors
/// If another process has the lock, the directory is missing, or the operating system refuses.
pub fn lock_appends(root: &Path, topic: Topic) -> Result<File, OpenError> {
    let folder = DirLayout::of(root)?.folder(topic);
    fs::create_dir_all(&folder).map_err(FileError::io("create", &folder))?;
    let path = folder.join(".lock");
    let mut options = OpenOptions::new();
    let file = options.create(true).read(true).append(true).open(&path);
    let file = file.map_err(FileError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let why = "another command has it: wait until that one is done, and try again";
            Err(FileError::io("lock", path)(io::Error::other(why)).into())
        }
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error).into()),
    }
}

/// Whether a file is empty or ends with a line feed.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_appended_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let control = Topic::Control.partition(0);
        append_line(root.path(), control, b"{\"a\":1}").unwrap();
        append_line(root.path(), control, b"{\"a\":2}").unwrap();
        let path = root.path().join("softstake.control/0.jsonl");
        assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\":2}\n");
        let two = append_line(root.path(), control, b"{}\n{}").unwrap_err();
        assert!(two.to_string().contains("line feed"), "{two}");
        fs::write(&path, "{\"a\":1}\n{\"a\"").unwrap();
        let torn = append_line(root.path(), control, b"{}").unwrap_err();
        assert!(torn.to_string().contains("another writer"), "{torn}");
        assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\"");
        let completed = thread::scope(|scope| {
            let writer = scope.spawn(|| append_line(root.path(), control, b"{\"a\":3}"));
            thread::sleep(Duration::from_millis(50));
            OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(b":2}\n")
                .unwrap();
            writer.join().unwrap()
        });
        completed.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
        let missing = append_line(&root.path().join("none"), control, b"{}").unwrap_err();
        assert!(matches!(missing, OpenError::Missing { .. }));
    }

    #[test]
    fn writers_beside_one_another_leave_whole_lines() {
        let root = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for writer in 0..4 {
                let root = root.path();
                scope.spawn(move || {
                    for number in 0..25 {
                        let record = format!(
                            "{{\"writer\":{writer},\"number\":{number},\"text\":\"{}\"}}",
                            "x".repeat(2_000)
                        );
                        append_line(root, Topic::Control.partition(0), record.as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(root.path().join("softstake.control/0.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 100);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
