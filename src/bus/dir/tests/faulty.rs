//! A disk that stops at a given step, tears the write of that step, and can lose data that is not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::bus::dir::disk::{Disk, RealDisk};
use crate::bus::error::FileError;

/// The data that a stop loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The process ends: the system keeps all data.
    Process,
    /// The power fails: all data that is not durable is lost.
    Power,
    /// The power fails, but a part of the data that is not durable is kept. The number chooses the part.
    Some(u64),
}

#[derive(Default)]
struct Model {
    root: PathBuf,
    left: usize,
    /// How much of the last write takes place, in quarters of its length.
    quarters: usize,
    stopped: bool,
    /// Files and folders by name, each with a number that does not change.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

#[derive(Clone)]
pub struct Faulty(Arc<Mutex<Model>>);

impl Faulty {
    pub fn new(root: &Path) -> Self {
        Self(Arc::new(Mutex::new(Model {
            root: root.to_path_buf(),
            left: usize::MAX,
            ..Model::default()
        })))
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    /// Stops after this many more steps.
    pub fn stop_after(&self, steps: usize, quarters: usize) {
        let mut model = self.model();
        model.left = steps;
        model.quarters = quarters;
        model.stopped = false;
    }

    pub fn stopped(&self) -> bool {
        self.model().stopped
    }

    /// Changes the disk to what a machine would find after such a stop.
    pub fn lose(&self, loss: Loss) {
        self.model().lose(loss);
    }
}

impl Model {
    fn step(&mut self, path: &Path) -> Result<(), FileError> {
        if self.left == 0 || self.stopped {
            self.stopped = true;
            return Err(FileError::io("stop at", path)(io::Error::other("a fault on purpose")));
        }
        self.left -= 1;
        Ok(())
    }

    fn number(&mut self, path: &Path) {
        if !self.names.contains_key(path) {
            self.next += 1;
            self.names.insert(path.to_path_buf(), self.next);
        }
    }

    fn lose(&mut self, loss: Loss) {
        let mut seed = match loss {
            Loss::Process => return,
            Loss::Power => 0,
            Loss::Some(seed) => seed,
        };
        // Up to 1000 for 1000 parts of a thousand; always 0 with seed 0.
        let mut kept = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(if seed == 0 { 0 } else { 97 });
            usize::try_from((seed >> 33) % 1001).unwrap()
        };
        let mut names = BTreeMap::new();
        let mut contents = BTreeMap::new();
        let all: BTreeSet<&PathBuf> = self.names.keys().chain(self.durable_names.keys()).collect();
        for path in all {
            let now = if kept() > 500 { &self.names } else { &self.durable_names };
            let Some(number) = now.get(path) else { continue };
            let parent = path.parent().unwrap();
            if parent != self.root && parent.file_name().unwrap() != ".softstake" && !names.contains_key(parent) {
                continue;
            }
            names.insert(path.clone(), *number);
            if path.is_dir() {
                continue;
            }
            let durable = self.durable.get(number).cloned().unwrap_or_default();
            let current = self.names.iter().find(|(_, other)| *other == number);
            let current = current.map_or_else(|| durable.clone(), |(path, _)| fs::read(path).unwrap());
            let mut content = durable.clone();
            if current.len() > durable.len() {
                let more = &current[durable.len()..];
                let len = more.len() * kept() / 1000;
                // A block that was lost shows as zeros, if a later one was kept.
                let hole = len * kept() / 1000;
                content.extend(std::iter::repeat_n(0, hole));
                content.extend_from_slice(&more[hole..len]);
            }
            contents.insert(path.clone(), (*number, content));
        }
        for path in self.names.keys().rev() {
            let _ = fs::remove_file(path);
            let _ = fs::remove_dir(path);
        }
        self.durable.clear();
        for path in names.keys() {
            if let Some((number, content)) = contents.remove(path) {
                fs::write(path, &content).unwrap();
                self.durable.insert(number, content);
            } else {
                fs::create_dir(path).unwrap();
            }
        }
        self.names = names.clone();
        self.durable_names = names;
    }

    /// Checks what must hold before each write to an output or inner file.
    fn expect_rules(&self, path: &Path, bytes: &[u8], at: u64) {
        if path.parent().unwrap().file_name().unwrap() == ".softstake" {
            return;
        }
        let there = fs::read(path).unwrap();
        let at = usize::try_from(at).unwrap();
        assert!(at <= there.len(), "{path:?}: a gap");
        for (old, new) in there[at..].iter().zip(bytes) {
            assert!(old == new || *old == 0, "{path:?}: something was rewritten");
        }
        let journal = self.root.join(".softstake/journal");
        assert_eq!(
            self.durable.get(&self.names[&journal]),
            Some(&fs::read(&journal).unwrap()),
            "{path:?} is written to before the journal is durable"
        );
        assert_eq!(self.durable_names.get(&journal), self.names.get(&journal));
    }
}

impl Disk for Faulty {
    fn create_folder(&self, path: &Path) -> Result<(), FileError> {
        let mut model = self.model();
        model.step(path)?;
        model.number(path);
        RealDisk.create_folder(path)
    }

    fn create(&self, path: &Path) -> Result<File, FileError> {
        let mut model = self.model();
        model.step(path)?;
        model.names.remove(path);
        model.number(path);
        RealDisk.create(path)
    }

    fn open(&self, path: &Path) -> Result<File, FileError> {
        let mut model = self.model();
        model.step(path)?;
        model.number(path);
        RealDisk.open(path)
    }

    fn write(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), FileError> {
        let mut model = self.model();
        model.expect_rules(path, bytes, at);
        let first = !model.stopped;
        if let Err(error) = model.step(path) {
            if first && model.quarters > 0 {
                // 4 quarters: all but the last byte.
                let len = (bytes.len() * model.quarters / 4).min(bytes.len() - 1);
                RealDisk.write(file, path, &bytes[..len], at).unwrap();
            }
            return Err(error);
        }
        RealDisk.write(file, path, bytes, at)
    }

    fn sync(&self, _file: &File, path: &Path) -> Result<(), FileError> {
        let mut model = self.model();
        model.step(path)?;
        let number = model.names[path];
        model.durable.insert(number, fs::read(path).unwrap());
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> Result<(), FileError> {
        let mut model = self.model();
        model.step(path)?;
        let Model {
            names, durable_names, ..
        } = &mut *model;
        durable_names.retain(|name, _| name.parent() != Some(path));
        let here = names.iter().filter(|(name, _)| name.parent() == Some(path));
        durable_names.extend(here.map(|(name, number)| (name.clone(), *number)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let mut model = self.model();
        model.step(from)?;
        let number = model.names.remove(from).unwrap();
        model.names.insert(to.to_path_buf(), number);
        RealDisk.rename(from, to)
    }
}
