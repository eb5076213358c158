use serde::Deserialize;

use crate::core::contract::records::dead_letter::DeadLetter;
use crate::core::contract::records::distribution::Distribution;
use crate::core::contract::records::late_posting::LatePosting;
use crate::core::contract::records::seal::Seal;
use crate::core::contract::topic::Topic;

/// The data of the records of an output topic.
pub trait PublishedRecord: Sized {
    const TOPIC: Topic;
    /// The same, with texts that are borrowed from the record.
    type Borrowed<'a>: Deserialize<'a>;

    fn to_owned(borrowed: Self::Borrowed<'_>) -> Self;
}

macro_rules! published {
    ($data:ident, $topic:ident) => {
        impl PublishedRecord for $data<'static> {
            const TOPIC: Topic = Topic::$topic;
            type Borrowed<'a> = $data<'a>;

            fn to_owned(borrowed: Self::Borrowed<'_>) -> Self {
                borrowed.into_owned()
            }
        }
    };
}

published!(Distribution, Distributions);
published!(Seal, Epochs);
published!(DeadLetter, DeadLetters);
published!(LatePosting, LatePostings);
