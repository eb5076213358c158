//! Files that a command reads; `-` is standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::cli::outcome::Failure;

/// Opens a text file. A byte order mark of UTF-8 is skipped.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let failed = |what: &str, error| Failure::Usage(format!("cannot {what} {}: {error}", path.display()));
    let mut file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(|error| failed("open", error))?))
    };
    let mut start = Vec::new();
    let read = file.by_ref().take(3).read_to_end(&mut start);
    read.map_err(|error| failed("read", error))?;
    match start[..] {
        [0xef, 0xbb, 0xbf] => start.clear(),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            let name = path.display();
            return Err(Failure::Usage(format!("{name} is UTF-16 text: save it as UTF-8")));
        }
        _ => {}
    }
    Ok(Box::new(Cursor::new(start).chain(file)))
}

/// Reads a whole text file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}
