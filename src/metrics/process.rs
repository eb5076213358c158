//! What the system says of this process.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Memory and open files. A figure that the system does not tell is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Bytes of memory that are in use.
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    /// How many files it may have open; `None` without a limit.
    pub most_open_files: Option<u64>,
}

impl ProcessFigures {
    /// The figures now. `/proc` is no disk: this does not wait.
    #[must_use]
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").ok();
        // The look itself has one open.
        let files = fs::read_dir("/proc/self/fd").map(|files| files.count().saturating_sub(1) as u64);
        Self {
            resident_bytes: status.as_deref().and_then(resident_bytes),
            open_files: files.ok(),
            most_open_files: getrlimit(Resource::Nofile).current,
        }
    }
}

/// From a line as `VmRSS:     1024 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_files() {
        let before = ProcessFigures::now();
        assert!(before.resident_bytes > Some(1 << 20), "{before:?}");
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let with = ProcessFigures::now();
        // Other tests of this process open and close some, too.
        assert!(
            with.open_files >= before.open_files.map(|open| open + 100),
            "{before:?} {with:?}"
        );
        assert!(with.most_open_files.is_none_or(|most| Some(most) > with.open_files));
        drop(files);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
