//! The files of the partitions: readers of them, and their ends.

use crate::bus::dir::committed::{Bound, lock};
use crate::bus::dir::disk::{open_regular, read_at};
use crate::bus::dir::frames::FrameReader;
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::line_count::LineCounts;
use crate::bus::dir::line_reader::LineReader;
use crate::bus::dir::prefix::CHUNK;
use crate::bus::error::{FileError, ReadError};
use crate::bus::interface::Reader;
use crate::bus::position::Mark;
use crate::core::contract::topic::{TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

/// The files of one bus directory.
pub(super) struct Files {
    layout: DirLayout,
    line_counts: LineCounts,
}

impl Files {
    pub(super) fn new(layout: DirLayout) -> Self {
        Self {
            layout,
            line_counts: LineCounts::default(),
        }
    }

    pub(super) fn layout(&self) -> &DirLayout {
        &self.layout
    }

    pub(super) fn open(
        &self,
        partition: TopicPartition,
        bound: Bound,
        from: &Mark,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let path = self.layout.file(partition);
        if partition.topic.kind() == TopicKind::Inner {
            return Ok(Box::new(FrameReader::open(partition, path, bound, from)?));
        }
        let line_count = self.line_counts.of(partition);
        Ok(Box::new(LineReader::open(partition, path, bound, line_count, from)?))
    }

    /// The end of a partition by its file alone, whatever was committed.
    pub(super) fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        if partition.topic.kind() == TopicKind::Inner {
            let mut reader = self.open(partition, Bound::File, &Mark::default())?;
            while !reader.read(CHUNK, Offset::NO_LIMIT)?.is_empty() {}
            return Ok(reader.mark().offset);
        }
        let line_count = self.line_counts.of(partition);
        let path = self.layout.file(partition);
        lock(&line_count).lines(partition, &path).map(Offset::new)
    }

    /// Spares a count: a position says that the first `bytes` bytes of the partition's file hold `lines` lines. It is not believed if no line ends
    /// there, because the file was changed then.
    pub(super) fn reached(&self, partition: TopicPartition, bytes: u64, lines: u64) -> Result<(), FileError> {
        let path = self.layout.file(partition);
        let (Some(file), Some(last)) = (open_regular(&path)?, bytes.checked_sub(1)) else {
            return Ok(());
        };
        let mut byte = Vec::new();
        read_at(&file, &path, &mut byte, last, 1)?;
        if byte == b"\n" {
            // A reader of the file tells of a contradiction.
            let _ = lock(&self.line_counts.of(partition)).reached(bytes, lines);
        }
        Ok(())
    }
}
