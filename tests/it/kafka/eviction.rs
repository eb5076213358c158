//! Members that the group evicts while it rebalances: afterwards every task has an instance again.

use std::time::Duration;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::setting;
use crate::judge::judge;

const EPOCH: u32 = 100;

/// Two of three instances are paused past their sessions again and again, and wake up in the rebalance that their absence has caused.
#[test]
fn evicted_members_leave_no_task_without_an_instance() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 16, 2);
    let place = &deployment.place;
    place.append("softstake.control", 0, [listing("A", 2, EPOCH, &pool())]);
    place.append("exchange.deposits", 0, [deposit("1", 0, "ann", "A", "10")]);
    deployment.publish();
    let mut instances: Vec<Instance> = (0..3).map(|instance| deployment.start(instance)).collect();
    let rounds = u32::try_from(setting("TEST_EVICTIONS", 3)).expect("a small number");
    for round in 0..rounds {
        for paused in &instances[1..] {
            paused.signal("STOP");
        }
        std::thread::sleep(Duration::from_millis(3_200));
        for (number, paused) in (0..).zip(&instances[1..]) {
            std::thread::sleep(Duration::from_millis(number * 150 * u64::from(round % 4)));
            paused.signal("CONT");
        }
        place.append("softstake.control", 0, [close("A", round, EPOCH, "5")]);
        deployment.publish();
        deployment.until_sealed(usize::try_from(round + 1).expect("a small number"));
    }
    for instance in &mut instances {
        assert_eq!(instance.stop(), Some(0));
    }
    deployment.dump();
    judge(place);
}
