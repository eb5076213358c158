//! The read side: it is gone, and others write to what it reads.

use super::prometheus::Prometheus;
use super::scene::{HOUR, Scene};
use crate::common::process::until;
use crate::serve::served::Served;

pub fn the_read_side_reads_strange_records_and_goes_away(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "read-side");
    scene.deposit("1", 0);
    scene.close(HOUR / 1000);
    scene.place.run(Some(1));
    let served = Served::start(&scene.place, &[]);
    let job = prometheus.read_side_job("read-side");
    job.add(served.address);
    until("it is ready", || job.values("softstake_view_ready") == [1.0]);
    scene.place.append("softstake.distributions", 0, [r#"{"data":{}}"#]);
    job.until_fired(&["ViewUnreadable"]);
    assert!(served.said().contains("the view leaves it out"), "{}", served.said());
    drop(served);
    job.until_fired(&["ServeUnavailable", "ServeDown"]);
    job.check_fired(&["ViewUnreadable", "ServeUnavailable", "ServeDown"], &[]);
}
