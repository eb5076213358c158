//! Each alert of `deploy/prometheus/rules.yml` fires by its cause: a real Prometheus scrapes real processes. Only the times of the rules are shorter.

mod broker;
mod disks;
mod prometheus;
mod records;
mod rules;
mod scene;
mod served;
mod tasks;
mod told;

use std::collections::BTreeSet;
use std::thread;

use self::prometheus::Prometheus;
use self::scene::{HOUR, Scene, on_own_disk};
use crate::common::made_up_rules;
use crate::common::process::until;
use crate::deployment::monitor::endpoint::Watched;

type Scenario = fn(&Prometheus);

/// What happens, each in a deployment of its own.
const SCENARIOS: [(&str, Scenario); 17] = [
    ("broker", broker::on_a_broker),
    ("close", tasks::close_waits),
    ("copy", disks::snapshots_are_refused),
    ("disk", disks::disk_is_full),
    ("held", records::held_then_halted),
    ("hung-disk", disks::disk_hangs),
    ("issuer", served::the_issuer_of_tokens_does_not_answer),
    ("no-coordinator", tasks::no_coordinator),
    ("read-side", served::the_read_side_reads_strange_records_and_goes_away),
    ("read-side-disk", served::the_disk_of_the_read_side_is_full),
    ("records", records::refused_and_late),
    ("restarts", tasks::process_restarts),
    ("settlement", tasks::settlement_is_stuck),
    ("slow-disk", disks::disk_is_slow),
    ("snapshots", disks::snapshots_fail),
    ("told", told::what_takes_too_long),
    ("two-deployments", tasks::one_job_for_two_deployments),
];

/// A deployment that reads, pays and takes snapshots as it should, on a disk with room.
fn begin_healthy(scene: &Scene<'_>) -> Watched {
    scene.deposit("1", 0);
    let command = scene.with_snapshots(scene.command());
    let watched = scene.start(&mut on_own_disk(&command, &scene.place.state(), 4096));
    watched.until_ready();
    scene.close(HOUR / 1000);
    watched.until_metric("softstake_seals_total", &[], 1.0);
    scene.deposit_now("2", 0);
    until("both deposits are read", || {
        let applied = [("topic", scene::DEPOSITS), ("outcome", "applied")];
        watched.metric("softstake_postings_total", &applied) == Some(2.0)
    });
    watched
}

#[test]
#[ignore = "make alerts-test runs it: it needs Prometheus, strace, and a disk to mount"]
fn each_alert_fires_by_its_cause() {
    // It is built, if it is not there.
    made_up_rules::program();
    let prometheus = Prometheus::start();
    until("the absence is told", || {
        prometheus
            .all_fired()
            .get("")
            .is_some_and(|alerts| alerts.contains("SoftstakeAbsent"))
    });
    let healthy = Scene::listed(&prometheus, "healthy");
    let watched = begin_healthy(&healthy);
    let wanted = std::env::var("TEST_ALERTS").unwrap_or_default();
    thread::scope(|scope| {
        for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(&wanted)) {
            let prometheus = &prometheus;
            let thread = thread::Builder::new().name((*name).to_owned());
            thread
                .spawn_scoped(scope, move || scenario(prometheus))
                .expect("a thread");
        }
    });
    assert_eq!(watched.json("/readyz").0, 200);
    healthy.job.check_fired(&[], &[]);
    let fired: BTreeSet<String> = prometheus.all_fired().into_values().flatten().collect();
    if wanted.is_empty() {
        assert_eq!(
            fired,
            rules::alerts(&rules::committed()),
            "all alerts have fired, and no other"
        );
    }
}
