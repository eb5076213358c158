//! The way of results to stdout.
//!
//! A closed or full stdout never stops a command, and never changes its verdict. What cannot be written is dropped, and the command goes on
//! to its end. Results that could not be written make a success a failure.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// The results of a command. Writing to it never fails; [`Results::finish`] tells what went wrong.
pub(super) struct Results(BufWriter<Sink<Box<dyn Write>>>);

impl Results {
    /// Results that go to stdout.
    pub(super) fn stdout() -> Self {
        // `Stdout` would report success for a descriptor that is not open for writing.
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(descriptor) => Self::to(Box::new(File::from(descriptor))),
            Err(error) => {
                let mut sink: Sink<Box<dyn Write>> = Sink::new(Box::new(io::sink()));
                sink.error = Some(error);
                Self(BufWriter::new(sink))
            }
        }
    }

    fn to(output: Box<dyn Write>) -> Self {
        Self(BufWriter::new(Sink::new(output)))
    }

    /// Writes what is still in memory. Returns the first error of any write.
    ///
    /// A reader that went away, as `head` does, needs no more: that is no error.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()?;
        match self.0.get_mut().error.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Accepts every byte. It keeps the first error, and drops all bytes after it.
struct Sink<W> {
    output: W,
    error: Option<io::Error>,
}

impl<W: Write> Sink<W> {
    const fn new(output: W) -> Self {
        Self { output, error: None }
    }

    fn attempt(&mut self, act: impl FnOnce(&mut W) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = act(&mut self.output).err();
        }
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|output| output.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(Write::flush);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails from the second write on.
    struct Failing(u8, io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Ok(bytes.len()),
                2 => Err(self.1.into()),
                _ => panic!("written to after an error"),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn after(kind: io::ErrorKind) -> io::Result<()> {
        let mut results = Results::to(Box::new(Failing(0, kind)));
        for _ in 0..4 {
            results.write_all(b"line\n").unwrap();
            results.flush().unwrap();
        }
        results.finish()
    }

    #[test]
    fn writing_goes_on_after_an_error_and_the_end_tells_of_it() {
        let full = after(io::ErrorKind::StorageFull).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        after(io::ErrorKind::BrokenPipe).unwrap();
    }

    #[test]
    fn results_in_memory_are_written_at_the_end() {
        let mut results = Results::to(Box::new(Failing(1, io::ErrorKind::StorageFull)));
        results.write_all(b"line\n").unwrap();
        assert!(results.finish().is_err());
    }
}
