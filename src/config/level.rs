//! The value of `log.level`.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// The target of all our log lines.
const OURS: &str = "softstake";

/// Parses a level, or `target=level` pairs separated by commas. A level without a target is that of softstake itself.
///
/// # Errors
/// The valid values, as a predicate: it makes a sentence after the name of the setting.
pub fn targets(level: &str) -> Result<Targets, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let mut targets = Targets::new();
    for part in level.split(',') {
        let (target, level) = part.split_once('=').unwrap_or((OURS, part));
        // What libraries log may hold credentials, so only our own lines are logged.
        let is_ours = target == OURS || target.starts_with("softstake::");
        let parsed = level.parse::<LevelFilter>().ok();
        match parsed.filter(|_| is_ours && levels.contains(&level)) {
            Some(level) => targets = targets.with_target(target, level),
            None => {
                let levels = levels.join(", ");
                return Err(format!(
                    "must be one of {levels}, or such as `info,softstake::bus=debug`, not \"{part}\""
                ));
            }
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn levels() {
        for right in ["off", "info", "warn,softstake::bus=debug", "softstake=trace"] {
            targets(right).unwrap();
        }
        for wrong in [
            "",
            "inffo",
            "info,",
            "softstake=",
            "=info",
            "INFO",
            "softstake=loud",
            "info, debug",
            "hyper=trace",
            "info,object_store=debug",
            "softstakes=info",
        ] {
            targets(wrong).unwrap_err();
        }
    }
}
