//! Which member of the consumer group has which task, as the group says.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::bus::kafka::assignment::FOLLOWED;
use crate::bus::position::TaskId;
use crate::core::contract::topic::Topic;

/// Time-out of the look-up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// The owner of each task that the group has given to a member: `softstake-1 at 10.0.0.7`.
pub(super) fn owners<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    group: &str,
) -> Result<BTreeMap<TaskId, String>, KafkaError> {
    let found = consumer.fetch_group_list(Some(group), LOOK_UP)?;
    let mut owners = BTreeMap::new();
    for member in found
        .groups()
        .iter()
        .filter(|found| found.name() == group)
        .flat_map(|group| group.members())
    {
        let host = member.client_host().trim_start_matches('/');
        for task in member.assignment().and_then(assigned).unwrap_or_default() {
            owners.insert(task, format!("{} at {host}", member.client_id()));
        }
    }
    Ok(owners)
}

/// The tasks in an assignment of Kafka's consumer protocol (`ConsumerProtocolAssignment.json`); `None` if it is cut short.
fn assigned(bytes: &[u8]) -> Option<Vec<TaskId>> {
    let mut fields = Fields(bytes);
    let _version = fields.take::<2>()?;
    let mut tasks = Vec::new();
    for _ in 0..u32::from_be_bytes(fields.take()?) {
        let length = usize::from(u16::from_be_bytes(fields.take()?));
        let name = std::str::from_utf8(fields.take_slice(length)?).ok()?;
        let topic = Topic::from_name(name).filter(|topic| FOLLOWED.contains(topic));
        for _ in 0..u32::from_be_bytes(fields.take()?) {
            let number = u32::from_be_bytes(fields.take()?);
            tasks.extend(topic.map(|topic| TaskId::following(topic.partition(number))));
        }
    }
    Some(tasks)
}

/// The rest of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn take_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (name, numbers) in [("exchange.trades", &[3_u32, 64][..]), ("softstake.epochs", &[0])] {
            bytes.extend((name.len() as u16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((numbers.len() as u32).to_be_bytes());
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        }
        // User data, which nobody needs.
        bytes.extend([255; 4]);
        bytes
    }

    #[test]
    fn the_tasks_of_a_member_are_read_from_its_assignment() {
        let trades = |number| TaskId::ingest(Topic::Trades.partition(number));
        assert_eq!(assigned(&assignment()), Some(vec![trades(3), trades(64)]));
    }

    #[test]
    fn an_assignment_that_is_cut_short_is_none() {
        let whole = assignment();
        for length in 0..whole.len() - 4 {
            assert_eq!(assigned(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(assigned(&[0, 1, 255, 255, 255, 255]), None);
    }
}
