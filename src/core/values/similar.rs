//! Which known name was probably meant by an unknown one.

/// The known name that is most like `name`: in other letters' case, or with few of its letters wrong, missing or exchanged. `None` if no name is
/// like it, or if it is known.
#[must_use]
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let mut nearest: Option<(usize, &str)> = None;
    for candidate in known {
        if candidate == name {
            return None;
        }
        let wrong = strsim::osa_distance(&lower, &candidate.to_lowercase());
        // In a name of two letters or one, another letter makes another name.
        let shorter = lower.chars().count().min(candidate.chars().count());
        let allowed = if shorter < 3 { 0 } else { (shorter / 3).max(1) };
        if wrong <= allowed && nearest.is_none_or(|(least, _)| wrong < least) {
            nearest = Some((wrong, candidate));
        }
    }
    nearest.map(|(_, candidate)| candidate)
}

/// The known name that is most like `name`, however little that is; `None` if none is known.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .min_by_key(|candidate| strsim::osa_distance(&lower, candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let known = ["commission_rate", "min_balance", "mode"];
        for (name, expected) in [
            ("comission_rate", "commission_rate"),
            ("MIN_BALANCE", "min_balance"),
            ("x", "mode"),
            ("mode", "mode"),
        ] {
            assert_eq!(nearest(name, known), Some(expected), "{name}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn the_name_that_was_meant() {
        let known = ["ATOM", "DOT", "ETH", "SOL", "OP", "commission_rate", "min_balance"];
        for (name, expected) in [
            ("atom", Some("ATOM")),
            ("ATMO", Some("ATOM")),
            ("ATOMS", Some("ATOM")),
            ("EHT", Some("ETH")),
            ("op", Some("OP")),
            ("comission_rate", Some("commission_rate")),
            ("CommissionRate", Some("commission_rate")),
            ("min_ballance", Some("min_balance")),
            ("ATOM", None),
            ("DOGE", None),
            ("OK", None),
            ("", None),
        ] {
            assert_eq!(meant(name, known), expected, "{name}");
        }
    }
}
