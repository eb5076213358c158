//! The API against its description: Schemathesis asks each path for what the description allows, and for what it forbids. An answer that is not
//! described fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use softstake::generate::Synthetic;

use super::reads::{settled, text};
use super::served::{Desk, Served, now};
use crate::common::Place;
use crate::common::events::event;
use crate::common::installed::{installed, variable};
use crate::common::process::until;
use crate::deployment::monitor::endpoint::Watched;

/// Accounts, assets and epochs that Schemathesis is told of.
const PLACES: usize = 12;

/// All kinds of programmes, late postings, dead letters, a held epoch, some credits, and a processor that runs.
struct Scene {
    place: Place,
    desk: Desk,
    /// Distributions of several assets: first those of the account that was paid most often.
    paid: Vec<Value>,
    processor: Watched,
}

impl Scene {
    fn new() -> Self {
        let place = settled(&Synthetic {
            events: 6_000,
            accounts: 60,
            assets: 12,
            partitions: 1,
            epochs: 7,
            late: 0.1,
            bad: 0.05,
            ..Synthetic::default()
        });
        let mut paid: Vec<Value> = place.records("softstake.distributions");
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for record in &mut paid {
            *record = record["data"].take();
            *counts.entry(text(record, "account").to_owned()).or_default() += 1;
        }
        paid.sort_by_key(|data| {
            let account = text(data, "account").to_owned();
            // The first one goes into paths as it is.
            let is_sub_account = account.contains('/');
            (
                is_sub_account,
                usize::MAX - counts[&account],
                account,
                data["epoch"].as_u64(),
            )
        });
        let credited = paid.iter().step_by(2).map(|data| {
            let id = format!("{}:{}:{}", text(data, "asset"), data["epoch"], text(data, "account"));
            let credit = json!({"distribution": id, "amount": data["amount"], "credited_at": "2026-12-01T01:00:00Z"});
            event(&format!("credit-{id}"), "payout.executed.v1", 0, &credit)
        });
        place.append("payout.executions", 0, credited.collect::<Vec<_>>());
        let desk = Desk::new();
        desk.put("processor-token", b"a-token-of-the-read-side");
        let token = desk.path("processor-token").display().to_string();
        let processor = Watched::start(&place, &["--partitions", "4", "--monitor-token-file", &token]);
        Self {
            place,
            desk,
            paid,
            processor,
        }
    }

    fn serve(&self, more: Vec<String>) -> Served {
        let processor = self.processor.address().to_string();
        let token = self.desk.path("processor-token").display().to_string();
        let flags = [
            ["--executions", "payout.executions"],
            ["--processors", &processor],
            ["--processors-token-file", &token],
            ["--requests-per-minute", "1000000"],
            ["--refusals-per-minute", "1000000"],
        ];
        let flags = flags.into_iter().flatten().map(str::to_owned).chain(more);
        Served::start(&self.place, &flags.collect::<Vec<_>>())
    }

    /// Some that were paid: `first` of the account that was paid most often, the rest of others.
    fn places(&self, first: usize) -> Vec<Value> {
        let own = self.own();
        let of_own = self.paid.iter().filter(|data| text(data, "account") == own);
        let others = self.paid.iter().filter(|data| text(data, "account") != own);
        of_own
            .step_by(3)
            .take(first)
            .chain(others.step_by(self.paid.len() / (2 * PLACES)).take(PLACES - first))
            .map(|data| json!({"account": data["account"], "asset": data["asset"], "epoch": data["epoch"]}))
            .collect()
    }

    /// The account that was paid most often.
    fn own(&self) -> &str {
        text(&self.paid[0], "account")
    }
}

/// Who asks, and for how much.
struct Asking<'a> {
    name: &'a str,
    token: Option<String>,
    /// The account of a customer.
    own: Option<&'a str>,
    places: Vec<Value>,
    /// Generated requests of each path, if not those of the settings.
    examples: Option<u32>,
}

/// How often a path answered with a status.
type Answers = BTreeMap<(String, u64), u32>;

impl Asking<'_> {
    /// Lets Schemathesis ask for what the description has. Returns what it got.
    fn ask(&self, served: &Served, description: &Value, folder: &Path) -> Answers {
        let url = format!("http://{}", served.address);
        let file = |name: &str| folder.join(format!("{}-{name}", self.name));
        let (described, known, seen) = (file("openapi.json"), file("known.json"), file("seen.jsonl"));
        // From a file: given an address, it leaves that one out.
        fs::write(&described, description.to_string()).expect("the description");
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers = match &authorization {
            Some(value) => json!({ "Authorization": value }),
            None => json!({}),
        };
        let told = json!({"url": url, "headers": headers, "own": self.own, "places": self.places});
        fs::write(&known, told.to_string()).expect("what is known");
        let tool = variable("SOFTSTAKE_TEST_SCHEMATHESIS");
        let tool = tool.unwrap_or_else(|| installed("tests/schemathesis_python.sh", "python"));
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
        let mut command = Command::new(tool);
        command
            .arg("--config-file")
            .arg(settings.join("schemathesis.toml"))
            .args(["run", "--no-color", "--checks", "all", "--url", &url])
            .arg(&described);
        if let Some(value) = &authorization {
            command.arg("--header").arg(format!("Authorization: {value}"));
        }
        if let Some(examples) = self.examples {
            command.args(["--max-examples", &examples.to_string()]);
        }
        let output = command
            .current_dir(folder)
            .env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"))
            .env("SOFTSTAKE_KNOWN", &known)
            .env("SOFTSTAKE_SEEN", &seen)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .output()
            .expect("Schemathesis");
        assert!(
            output.status.success(),
            "{}: {}\n{}",
            self.name,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let answers = read_answers(&seen);
        println!("{}: {} answers", self.name, count(&answers));
        answers
    }
}

fn read_answers(seen: &Path) -> Answers {
    let mut answers = Answers::new();
    for line in fs::read_to_string(seen).expect("what was seen").lines() {
        let line: Value = serde_json::from_str(line).expect("an answer");
        let status = line["status"].as_u64().expect("a status");
        *answers.entry((text(&line, "path").to_owned(), status)).or_default() += 1;
    }
    answers
}

fn count(answers: &Answers) -> u32 {
    answers.values().sum()
}

/// The paths of the description.
fn paths(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().expect("paths");
    paths.keys().cloned().collect()
}

/// The paths that answered with a status.
fn with_status(answers: &Answers, status: u64) -> BTreeSet<String> {
    let found = answers.keys().filter(|(_, found)| *found == status);
    found.map(|(path, _)| path.clone()).collect()
}

#[test]
fn without_keys_each_path_answers_as_it_is_described() {
    let scene = Scene::new();
    let served = scene.serve(Vec::new());
    served.caught_up();
    let own = format!("/v1/accounts/{}/accrued", scene.own());
    until("the processor tells balances", || served.read(&own).status == 200);
    let asking = Asking {
        name: "open",
        token: None,
        own: None,
        places: scene.places(PLACES / 2),
        examples: None,
    };
    let description = served.value("/v1/openapi.json");
    let answers = asking.ask(&served, &description, scene.desk.folder.path());
    let paths = paths(&description);
    assert_eq!(with_status(&answers, 200), paths, "each path was found");
    let answered_400 = with_status(&answers, 400);
    let took_all = |path: &&String| path.contains('{') && !answered_400.contains(*path);
    assert_eq!(paths.iter().find(took_all), None, "each path with a name refused one");
    assert_eq!(with_status(&answers, 405), paths, "each path refused a method");
    assert!(count(&answers) > 2_000, "{answers:?}");
}

#[test]
fn with_tokens_each_path_answers_as_it_is_described() {
    let scene = Scene::new();
    let served = scene.serve(scene.desk.flags());
    let ends = now() + 3_600;
    let token = |role: &str, account: Option<&str>| {
        let scope = format!("softstake.{role}");
        scene
            .desk
            .token(&json!({"sub": role, "scope": scope, "account": account, "exp": ends}))
    };
    let auditor = token("auditor", None);
    let is_there = |path: &str, name: &str, wanted: Value| {
        let reply = served.get(path, &auditor);
        reply.status == 200 && (name.is_empty() || reply.json()[name] == wanted)
    };
    until("the view has caught up", || {
        is_there("/v1/sync", "caught_up", json!(true))
    });
    let own = format!("/v1/accounts/{}/accrued", scene.own());
    until("the processor tells balances", || is_there(&own, "", Value::Null));
    let folder = scene.desk.folder.path();
    let mut asking = Asking {
        name: "auditor",
        token: Some(auditor.clone()),
        own: None,
        places: scene.places(PLACES / 2),
        examples: Some(12),
    };
    let description = served.get("/v1/openapi.json", &auditor).json();
    let answers = asking.ask(&served, &description, folder);
    let paths = paths(&description);
    assert_eq!(with_status(&answers, 200), paths, "an auditor sees each path");
    assert_eq!(with_status(&answers, 401), paths, "each path asks for a token");
    let of_auditor = count(&answers);

    asking.name = "customer";
    asking.token = Some(token("customer", Some(scene.own())));
    asking.own = Some(scene.own());
    asking.places = scene.places(PLACES);
    let answers = asking.ask(&served, &description, folder);
    let is_shown = |path: &&String| {
        let shared = ["/v1/session", "/v1/sync", "/v1/openapi.json", "/v1/assets"];
        let is_shared = shared.contains(&path.as_str()) || path.starts_with("/v1/assets/{asset}");
        (is_shared && !path.ends_with("/distributions")) || path.starts_with("/v1/accounts/{account}/")
    };
    let shown: BTreeSet<String> = paths.iter().filter(is_shown).cloned().collect();
    assert_eq!(with_status(&answers, 200), shown, "a customer sees these paths");
    assert!(of_auditor + count(&answers) > 2_000, "{answers:?}");
}
