//! The header: which deployment it is, and the figures of all instances together.

use crate::instances::{
    CoordinatorDocument, InstanceAnswer, InstanceSample, MarkedText, Severity, UNKNOWN, coordinators, count, counted,
    deployment, duration, followed, known, numbers_by, partitions_without_lag, rate, records_per_second, statuses,
    sum_of, version,
};

pub(super) fn title(samples: &[InstanceSample]) -> String {
    let deployments: Vec<String> = numbers_by(samples, deployment).into_keys().collect();
    match deployments.as_slice() {
        [] => "no instance answers".into(),
        all => all.join(", "),
    }
}

pub(super) fn figures(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let mut figures = instances(samples);
    figures.push(versions(samples));
    figures.push(match coordinators(samples).as_slice() {
        [] => MarkedText::new(Severity::Warn, "no coordinator"),
        [one] => MarkedText::new(Severity::Plain, format!("coordinator {one}")),
        several => MarkedText::new(Severity::Bad, counted(several.len(), "coordinator")),
    });
    figures.extend(work(samples));
    figures.extend(epochs(samples));
    figures
}

fn instances(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let ready = statuses(samples).filter(|status| status.ready == Some(true)).count();
    let not_ready = statuses(samples).filter(|status| status.ready == Some(false)).count();
    let number = |holds: fn(&InstanceAnswer) -> bool| samples.iter().filter(|sample| holds(&sample.answer)).count();
    let away = number(|answer| matches!(answer, InstanceAnswer::Away(_)));
    let asked = number(|answer| matches!(answer, InstanceAnswer::Asked));
    let all = samples.len();
    let all_up = if ready == all && all > 0 {
        Severity::Plain
    } else {
        Severity::Warn
    };
    let mut figures = vec![MarkedText::new(
        all_up,
        format!("{ready} of {} ready", counted(all, "instance")),
    )];
    let others = [
        (not_ready, "not ready", Severity::Warn),
        (away, "unreachable", Severity::Bad),
        (asked, "being asked", Severity::Plain),
    ];
    let others = others.into_iter().filter(|(number, ..)| *number > 0);
    figures.extend(others.map(|(number, what, mark)| MarkedText::new(mark, format!("{number} {what}"))));
    figures
}

fn versions(samples: &[InstanceSample]) -> MarkedText {
    let versions = numbers_by(samples, version);
    let names: Vec<&str> = versions.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => MarkedText::new(Severity::Plain, format!("version {UNKNOWN}")),
        [one] => MarkedText::new(Severity::Plain, format!("version {one}")),
        several => MarkedText::new(Severity::Warn, format!("versions {}", several.join(", "))),
    }
}

/// Rate, lags and delay of all partitions.
fn work(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let partitions = || statuses(samples).flat_map(|status| &status.partitions);
    let delay = partitions()
        .filter_map(|one| one.event_time_delay_seconds)
        .reduce(f64::max);
    let is_late = statuses(samples).flat_map(followed).any(|one| one.is_behind());
    let late = if is_late { Severity::Warn } else { Severity::Plain };
    let mut lag = format!("lag {}", known(sum_of(samples, |one| one.lag_records)));
    let unknown = partitions_without_lag(samples);
    if unknown > 0 {
        lag.push_str(&format!(" without {}", counted(unknown, "partition")));
    }
    let unsure = if unknown > 0 { Severity::Warn } else { late };
    let inner = known(sum_of(samples, |one| one.lag_offsets));
    vec![
        MarkedText::new(
            Severity::Plain,
            format!("{} records/s", rate(records_per_second(samples))),
        ),
        MarkedText::new(unsure, lag),
        MarkedText::new(Severity::Plain, format!("inner lag {inner}")),
        MarkedText::new(
            delay.map_or(Severity::Plain, |_| late),
            format!("worst delay {}", duration(delay)),
        ),
    ]
}

fn epochs(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let coordinators: Vec<_> = statuses(samples)
        .filter_map(|status| status.coordinator.as_ref())
        .collect();
    let number = |of: fn(&CoordinatorDocument) -> usize| {
        let number = coordinators.iter().map(|one| of(one)).max();
        number.map_or_else(|| UNKNOWN.into(), |number| count(number.try_into().unwrap_or(u64::MAX)))
    };
    let any = |is_any: bool, mark| if is_any { mark } else { Severity::Plain };
    let held = coordinators.iter().any(|one| !one.held.is_empty());
    let halted = coordinators.iter().any(|one| !one.halted.is_empty());
    vec![
        MarkedText::new(
            Severity::Plain,
            format!("epochs under way {}", number(|one| one.epochs.len())),
        ),
        MarkedText::new(
            any(held, Severity::Warn),
            format!("held {}", number(|one| one.held.len())),
        ),
        MarkedText::new(
            any(halted, Severity::Bad),
            format!("halted {}", number(|one| one.halted.len())),
        ),
    ]
}
