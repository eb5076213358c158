//! Names of accounts: most follow one pattern, some are as odd as customers choose them.

use crate::generate::json::JsonText;

/// Valid names that break careless escaping, keys built by joining, and code that counts characters as bytes.
const EXOTIC: [&str; 20] = [
    "Zoë Müller",
    "o'brien \"ob\" conor",
    "back\\slash\\user",
    "desk:7|eu/west",
    "株式会社サンプル",
    "🦀 crab 🦀",
    "one-hundred-and-twenty-eight-bytes-is-the-longest-name-there-may-be-and-this-one-is-exactly-as-long-as-that-without-a-byte-to-sp",
    "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé",
    "a",
    " leading and trailing ",
    "user+tag@example.com",
    "{\"json\":true}",
    "null",
    "0",
    "ακκούντ",
    "a\u{301}",
    "á",
    "U-000001",
    "/its own owner",
    "u-000001//",
];

/// Name of account number `index`. Different accounts have different names.
pub(crate) fn account_name(index: u64) -> JsonText {
    // Every seventh account from the fourth on, so that some busy accounts have such names.
    let exotic = usize::try_from(index / 7).unwrap_or(usize::MAX);
    if index % 7 == 3
        && let Some(name) = EXOTIC.get(exotic)
    {
        return JsonText::Borrowed(name);
    }
    // Every eighth account is a sub-account, of a busier account or of one of its own kind.
    if index % 8 == 6 {
        let owner = plain_name(index / 8);
        return JsonText::Owned(match index % 3 {
            0 => format!("{owner}/grid"),
            1 => format!("{owner}/{index}"),
            _ => format!("{owner}/bot/{index}"),
        });
    }
    JsonText::Owned(plain_name(index))
}

pub(crate) fn plain_name(index: u64) -> String {
    format!("u-{index:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exotic_names_are_valid_and_reach_the_limit() {
        assert!(EXOTIC.iter().all(|name| (1..=128).contains(&name.len())));
        assert_eq!(EXOTIC.iter().filter(|name| name.len() == 128).count(), 2);
        assert!(EXOTIC.iter().all(|name| !name.contains(char::is_control)));
    }

    #[test]
    fn some_accounts_are_sub_accounts() {
        let names: Vec<JsonText> = (0..1_000).map(account_name).collect();
        let owners = names
            .iter()
            .filter_map(|name| name.split_once('/').map(|(owner, _)| owner));
        assert!((100..150).contains(&owners.clone().count()));
        // Some owners have an account of their own name.
        assert!(owners.filter(|owner| names.iter().any(|name| name == owner)).count() > 50);
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<JsonText> = (0..1_000).map(account_name).collect();
        assert_eq!(names.len(), 1_000);
    }
}
