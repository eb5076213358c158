//! Reads dead letters and late postings.

use crate::bus::Topic;
use crate::core::contract::rejection::Code;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::serve::view::database::ViewScan;
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::{View, ViewPage};
use crate::serve::view::keys;
use crate::serve::view::small_topics::{KeptLatePosting, KeptLetter, code_number};

/// Which dead letters are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptLetterFilter {
    pub code: Option<Code>,
    /// The topic of the rejected record.
    pub topic: Option<Topic>,
}

/// Whose late postings are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateOf<'a> {
    All,
    Account(&'a str),
    Asset(Asset),
}

/// The index entries of one topic and code, in the order of the letters.
struct IndexedLetters<'a> {
    scan: ViewScan<'a>,
    /// The place of the next letter.
    head: Option<Vec<u8>>,
}

impl IndexedLetters<'_> {
    fn advance(&mut self) -> Result<(), ViewError> {
        // The table, the topic and the code come first.
        let next = self.scan.next()?;
        self.head = next.and_then(|(key, _)| key.get(3..)).map(<[u8]>::to_vec);
        Ok(())
    }
}

impl View {
    /// Dead letters, the newest first.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn dead_letters(
        &self,
        filter: &KeptLetterFilter,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<ViewPage<KeptLetter>, ViewError> {
        let table = keys::letters().0;
        if *filter == KeptLetterFilter::default() {
            return self.page((&table, &keys::end_of(&table)), after, limit, |_, value| {
                self.read_letter(value).map(Some)
            });
        }
        let mut lists = self.indexed(filter, after)?;
        let (mut items, mut last) = (Vec::new(), None);
        // One list for each topic and code: the newest of their heads is next.
        while let Some(first) = lists
            .iter_mut()
            .filter(|list| list.head.is_some())
            .min_by(|a, b| a.head.cmp(&b.head))
        {
            if items.len() == limit {
                return Ok(ViewPage { items, next: last });
            }
            let key = [&table[..], first.head.as_deref().unwrap_or_default()].concat();
            let value = self.database.get(&key)?;
            let value = value.ok_or_else(|| self.database.damaged("a dead letter is missing"))?;
            items.push(self.read_letter(&value)?);
            last = Some(key);
            first.advance()?;
        }
        Ok(ViewPage { items, next: None })
    }

    fn indexed(&self, filter: &KeptLetterFilter, after: Option<&[u8]>) -> Result<Vec<IndexedLetters<'_>>, ViewError> {
        let mut lists = Vec::new();
        for (topic, code) in self.totals().letters.keys() {
            let is_topic = filter.topic.is_none_or(|wanted| wanted as u8 == *topic);
            let is_code = filter.code.is_none_or(|wanted| code_number(wanted) == *code);
            if !is_topic || !is_code {
                continue;
            }
            let prefix = keys::letters_by_code(*topic, *code).0;
            let from = match after.and_then(|key| key.get(1..)) {
                Some(place) => [&prefix[..], place, &[0]].concat(),
                None => prefix.clone(),
            };
            let mut list = IndexedLetters {
                scan: self.database.scan(&from, &keys::end_of(&prefix)),
                head: None,
            };
            list.advance()?;
            lists.push(list);
        }
        Ok(lists)
    }

    fn read_letter(&self, value: &[u8]) -> Result<KeptLetter, ViewError> {
        postcard::from_bytes(value).map_err(|error| self.database.damaged(format!("a dead letter: {error}")))
    }

    /// How many dead letters there are, by topic and code.
    #[must_use]
    pub fn dead_letter_counts(&self) -> Vec<(Topic, Code, u64)> {
        let totals = self.totals();
        let counts = totals.letters.iter().filter_map(|((topic, code), count)| {
            let code = Code::ALL.get(usize::from(*code))?;
            Some((Topic::from_number(*topic)?, *code, *count))
        });
        counts.collect()
    }

    /// Late postings, those into the newest epochs first.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn late_postings(
        &self,
        of: LateOf<'_>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<ViewPage<KeptLatePosting>, ViewError> {
        let prefix = match of {
            LateOf::All => keys::late_postings(),
            LateOf::Account(account) => keys::late_by_account(account),
            LateOf::Asset(asset) => keys::late_by_asset(asset),
        }
        .0;
        self.page((&prefix, &keys::end_of(&prefix)), after, limit, |_, value| {
            let late = postcard::from_bytes(value);
            late.map(Some)
                .map_err(|error| self.database.damaged(format!("a late posting: {error}")))
        })
    }

    /// How many late postings there are, by asset and missed epoch.
    #[must_use]
    pub fn late_counts(&self) -> Vec<(Asset, Epoch, u64)> {
        let totals = self.totals();
        let counts = totals
            .late
            .iter()
            .map(|((asset, missed), count)| (*asset, *missed, *count));
        counts.collect()
    }
}
