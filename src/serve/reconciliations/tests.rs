use std::fs::FileTimes;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn result(made_at: &str) -> Value {
    json!({
        "kind": "payouts", "made_at": made_at, "compared": {"bus": "dir:bus", "with": "payout.executions", "asset": null, "epoch": null},
        "agrees": false, "disagreements": 25, "verdict": "NOT RIGHT: 25 unpaid; 0 of 25 sealed distributions are right.",
    })
}

fn finding(number: usize) -> Value {
    json!({
        "kind": "unpaid", "distribution": format!("ATOM:0:u-{number}"), "reward_asset": "ATOM", "distributed": "1.5", "credited": null,
        "note": "",
    })
}

struct Results {
    folder: tempfile::TempDir,
    shown: ReconciliationFolder,
}

impl Results {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shown = ReconciliationFolder::new(folder.path().to_owned());
        Self { folder, shown }
    }

    /// Writes a file that was changed so many seconds after 1970.
    fn put(&self, name: &str, bytes: &[u8], seconds: u64) {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(changed)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.shown.results().items.into_iter().map(|item| item.file).collect()
    }
}

#[test]
fn the_newest_is_first_and_has_its_first_disagreements() {
    let results = Results::new();
    let mut newer = result("2026-11-02T08:00:00.000Z");
    newer["findings"] = (0..25).map(finding).collect();
    results.put("a.json", newer.to_string().as_bytes(), 5);
    results.put("b.json", result("2026-11-01T08:00:00.000Z").to_string().as_bytes(), 9);
    // Not complete yet, or no result.
    results.put(".c.json", b"{", 9);
    results.put("notes.txt", b"{", 9);
    fs::create_dir(results.folder.path().join("folder.json")).unwrap();
    assert_eq!(results.names(), ["a.json", "b.json"]);
    let shown = results.shown.results();
    assert!(shown.is_set && shown.unreadable.is_empty() && shown.left_out == 0);
    let first = &shown.items[0];
    assert_eq!((first.first_disagreements.len(), first.disagreements), (20, 25));
    assert_eq!(
        first.first_disagreements[1],
        Disagreement {
            kind: "unpaid".into(),
            of: "ATOM:0:u-1".into(),
            detail: "distributed 1.5 ATOM, credited nothing".into()
        }
    );
    assert_eq!(
        (first.with.as_deref(), first.asset.as_deref(), first.epoch, first.agrees),
        (Some("payout.executions"), None, None, false)
    );
    // A file that changes is read again, and one that is gone is not shown.
    results.put("b.json", result("2026-11-03T08:00:00.000Z").to_string().as_bytes(), 10);
    assert_eq!(results.names(), ["b.json", "a.json"]);
    fs::remove_file(results.folder.path().join("a.json")).unwrap();
    assert_eq!(results.names(), ["b.json"]);
}

#[test]
fn each_kind_tells_both_sides() {
    let results = Results::new();
    let of_kind = |kind: &str, list: &str, item: Value| {
        let mut result = result("2026-11-02T08:00:00.000Z");
        result["kind"] = kind.into();
        result[list] = json!([item]);
        results.put(&format!("{kind}.json"), result.to_string().as_bytes(), 1);
    };
    let fields = json!([{"field": "data.amount", "published": "2", "replayed": "1"}, {"field": "id", "published": null, "replayed": "x"}]);
    let record = json!({"kind": "different", "topic": "softstake.distributions", "id": "ATOM:0:ann", "fields": fields});
    of_kind("records", "differences", record);
    let row = json!({
        "verdict": "differs", "line": 3, "account": "ann", "asset": "ATOM", "time": "2026-11-01T00:00:00.000Z",
        "theirs": "5", "ours": "4", "difference": "1", "note": "",
    });
    of_kind("balances", "rows", row);
    let shown = results.shown.results();
    let texts: Vec<_> = shown
        .items
        .iter()
        .map(|item| &item.first_disagreements[0])
        .map(|one| (one.kind.as_str(), one.of.as_str(), one.detail.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            (
                "differs",
                "ann ATOM at 2026-11-01T00:00:00.000Z",
                "the ledger has 5, the log 4"
            ),
            (
                "different",
                "softstake.distributions ATOM:0:ann",
                "data.amount: published 2, replayed 1; id: published nothing, replayed x"
            ),
        ]
    );
}

#[test]
fn what_is_torn_or_foreign_is_named_with_the_reason() {
    let results = Results::new();
    let whole = result("2026-11-02T08:00:00.000Z").to_string();
    let without = |name: &str| {
        let mut result = result("2026-11-02T08:00:00.000Z");
        result.as_object_mut().unwrap().remove(name);
        result.to_string()
    };
    let with = |name: &str, value: Value| {
        let mut result = result("2026-11-02T08:00:00.000Z");
        result[name] = value;
        result.to_string()
    };
    let cases = [
        (whole[..whole.len() - 1].to_owned(), "ends in the middle"),
        (String::new(), "ends in the middle"),
        ("[]".into(), "expected an object"),
        ("not JSON".into(), "no result of softstake reconcile"),
        (format!("{whole}{whole}"), "trailing characters"),
        ("{}".into(), "no `kind`"),
        (without("verdict"), "no `verdict`"),
        (without("compared"), "no `compared`"),
        (with("kind", "prices".into()), "unknown variant"),
        (with("disagreements", (-1).into()), "invalid value"),
        (with("made_at", "yesterday".into()), "`made_at`"),
        (with("findings", 7.into()), "expected a list"),
        (format!("{{\"deep\":{}", "[".repeat(100_000)), "ends in the middle"),
    ];
    for (number, (text, _)) in cases.iter().enumerate() {
        results.put(&format!("{number:02}.json"), text.as_bytes(), 1);
    }
    results.put("99.json", &[0xff, 0xfe], 1);
    let shown = results.shown.results();
    assert!(shown.items.is_empty());
    for ((number, (_, reason)), found) in cases.iter().enumerate().zip(&shown.unreadable) {
        assert_eq!(found.file, format!("{number:02}.json"));
        assert!(found.reason.contains(reason), "{number}: {}", found.reason);
    }
    assert_eq!(shown.unreadable.len(), cases.len() + 1);
}

#[test]
fn a_large_result_is_read_by_its_beginning_and_its_end() {
    let results = Results::new();
    let head = result("2026-11-02T08:00:00.000Z").to_string();
    let findings: Vec<String> = (0..20_000).map(|number| finding(number).to_string()).collect();
    let large = format!("{},\"findings\":[{}]}}", &head[..head.len() - 1], findings.join(","));
    assert!(large.len() as u64 > 4 * MOST_BYTES);
    results.put("large.json", large.as_bytes(), 1);
    results.put("torn.json", &large.as_bytes()[..large.len() - 9], 1);
    let shown = results.shown.results();
    assert_eq!(shown.items[0].first_disagreements.len(), 20);
    assert_eq!(shown.unreadable[0].file, "torn.json");
    assert!(
        shown.unreadable[0].reason.contains("torn"),
        "{}",
        shown.unreadable[0].reason
    );
}

#[test]
fn files_are_bounded_in_number_and_a_missing_folder_is_told() {
    let results = Results::new();
    for number in 0..MOST_FILES as u64 + 7 {
        let made_at = TimeMs::from(i64::try_from(number).unwrap() * 1_000).to_string();
        results.put(
            &format!("{number}.json"),
            result(&made_at).to_string().as_bytes(),
            number,
        );
    }
    let shown = results.shown.results();
    assert_eq!((shown.items.len(), shown.left_out), (MOST_FILES, 7));
    assert_eq!(shown.items[0].file, "106.json");
    assert!(!shown.items.iter().any(|item| item.file == "6.json"));
    // A link leads to its file; one that leads nowhere is no file.
    symlink("none", results.folder.path().join("dangling.json")).unwrap();
    assert!(results.shown.results().unreadable.is_empty());
    let gone = ReconciliationFolder::new(results.folder.path().join("none"));
    let told = gone.results();
    assert!(
        told.unreadable[0].reason.contains("serve.reconcile_results"),
        "{told:?}"
    );
}
