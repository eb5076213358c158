//! The value of `log.level`.

use tracing_subscriber::filter::Targets;

/// Parses a level, or `target=level` pairs separated by commas. A level without a target is that of softstake itself.
///
/// # Errors
/// The valid values, as a predicate: it makes a sentence after the name of the setting.
pub fn targets(level: &str) -> Result<Targets, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    for part in level.split(',') {
        let (target, level) = part.split_once('=').unwrap_or(("softstake", part));
        // `Targets` would take a misspelt level for a target, and log everything of it.
        if target.is_empty() || !levels.contains(&level) {
            let levels = levels.join(", ");
            return Err(format!(
                "must be one of {levels}, or such as `info,softstake::bus=debug`, not \"{part}\""
            ));
        }
    }
    level.parse().map_err(|error| format!("cannot be read: {error}"))
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
        ] {
            targets(wrong).unwrap_err();
        }
    }
}
