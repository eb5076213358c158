//! The instances of `softstake run`, as this process asks them: for the holdings of an account, and for what they do.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use tokio::sync::Mutex;

use crate::core::values::account::AccountName;
use crate::deployment::holdings::LedgerHoldings;
use crate::instances::{
    InstanceAddress, InstanceClient, InstancePlace, InstancePoll, InstanceQuestion, InstanceSample, PollSettings,
};

/// How long an instance may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer about an account, in bytes.
const MOST_BYTES: usize = 4 << 20;
/// The statuses are asked for again after so long. However many look, the instances are asked no more often.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// What an instance has not answered until then is left as it was known before.
const ROUND_WITHIN: Duration = Duration::from_secs(10);

/// The instances of a deployment.
#[derive(Debug)]
pub struct Processors {
    poll: Arc<InstancePoll>,
    /// When all instances were asked for their status. One round at a time.
    asked: Arc<Mutex<Option<Instant>>>,
    token: String,
}

/// Why no instance told the holdings of an account.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorsError {
    /// The task of its ledger partition starts or moves.
    #[error("no instance of softstake run has the ledger partition of the account now")]
    Nowhere,
    /// At least one does not answer, and the others do not have the partition. The text is for the log.
    #[error("{0}")]
    Failed(String),
}

impl Processors {
    /// The instances at `addresses`, separated by commas, with the token in a file.
    ///
    /// # Errors
    /// What is wrong with the addresses or the file, in a sentence.
    pub fn new(addresses: &str, token_file: &Path) -> Result<Self, String> {
        let addresses = InstanceAddress::read_list(addresses);
        let addresses = addresses.map_err(|error| format!("an address of a processor, {error}"))?;
        let settings = PollSettings {
            addresses,
            interval: FRESH_FOR,
            timeout: ANSWER_WITHIN,
        };
        Ok(Self {
            token: read_token(token_file)?,
            poll: Arc::new(InstancePoll::new(settings)?),
            asked: Arc::default(),
        })
    }

    fn client(&self) -> &InstanceClient {
        self.poll.client()
    }

    /// What each instance does, as of at most two seconds ago.
    pub async fn samples(&self) -> Vec<InstanceSample> {
        if let Ok(mut asked) = Arc::clone(&self.asked).try_lock_owned()
            && asked.is_none_or(|at| at.elapsed() >= FRESH_FOR)
        {
            let poll = Arc::clone(&self.poll);
            // It ends although the one who looks goes away: others wait for it.
            tokio::spawn(async move {
                poll.round().await;
                *asked = Some(Instant::now());
            });
        }
        let _ = tokio::time::timeout(ROUND_WITHIN, self.asked.lock()).await;
        self.poll.samples()
    }

    /// What the ledger has of an account, of the assets numbered below `assets`.
    ///
    /// # Errors
    /// If no instance tells it.
    pub async fn holdings(&self, account: &AccountName<'_>, assets: u16) -> Result<LedgerHoldings, ProcessorsError> {
        let mut failures = Vec::new();
        let mut answers = FuturesUnordered::new();
        for (name, found) in self.client().places().await {
            match found {
                Ok(place) => answers.push(self.ask(name, place, account, assets)),
                Err(why) => failures.push(format!("{name}: {why}")),
            }
        }
        // The first that has the partition is enough: another may be away.
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Some(holdings)) => return Ok(holdings),
                Ok(None) => {}
                Err(why) => failures.push(why),
            }
        }
        match failures.is_empty() {
            true => Err(ProcessorsError::Nowhere),
            false => Err(ProcessorsError::Failed(failures.join("; "))),
        }
    }

    /// What one instance has; `None` if another one has the partition. The error never has the account.
    async fn ask(
        &self,
        name: String,
        place: InstancePlace,
        account: &AccountName<'_>,
        assets: u16,
    ) -> Result<Option<LedgerHoldings>, String> {
        let question = InstanceQuestion {
            path: "holdings",
            parameters: &[("account", account.as_str()), ("assets", &assets.to_string())],
            token: Some(&self.token),
            most_bytes: MOST_BYTES,
        };
        let named = |what: String| format!("{name}: {what}");
        let reply = self.client().ask(&place, &question).await.map_err(named)?;
        let found = match reply.status {
            StatusCode::OK => {
                Some(serde_json::from_slice(&reply.body).map_err(|error| named(format!("no holdings: {error}")))?)
            }
            StatusCode::MISDIRECTED_REQUEST => None,
            StatusCode::UNAUTHORIZED => {
                return Err(named(
                    "it refuses the token: is it that of its `monitor.token_file`?".into(),
                ));
            }
            StatusCode::NOT_FOUND => {
                return Err(named("it shows no holdings: set its `monitor.token_file`".into()));
            }
            status => return Err(named(format!("it answers with status {}", status.as_u16()))),
        };
        self.client().note_answer(&place);
        Ok(found)
    }
}

fn read_token(file: &Path) -> Result<String, String> {
    let named = |what: String| {
        format!(
            "the token of the processors, {}, cannot be used: {what}",
            file.display()
        )
    };
    let token = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(named("it has no token of printable characters".into()));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    use super::*;

    /// A server that sends these bytes to each client, and keeps the connection. Returns its address.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
                std::mem::forget(stream);
            }
        });
        address.to_string()
    }

    fn processors(addresses: &[String]) -> Processors {
        let token = tempfile::NamedTempFile::new().unwrap();
        fs::write(token.path(), "secret\n").unwrap();
        Processors::new(&addresses.join(","), token.path()).unwrap()
    }

    fn asked(addresses: &[String]) -> Result<LedgerHoldings, ProcessorsError> {
        let processors = processors(addresses);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let account = AccountName::new("ann").unwrap();
        runtime.unwrap().block_on(processors.holdings(&account, 1))
    }

    const ELSEWHERE: &str = "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn an_instance_that_says_nothing_does_not_hold_up_one_that_has_the_account() {
        let body = r#"{"account":"ann","partition":0,"offset":5,"assets":[],"statuses":[],"owner_statuses":[]}"#;
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let begun = Instant::now();
        let found = asked(&[server(""), server(ELSEWHERE), server(text.leak())]);
        assert!(found.is_ok(), "{found:?}");
        assert!(begun.elapsed() < ANSWER_WITHIN, "{:?}", begun.elapsed());
    }

    #[test]
    fn however_many_look_the_instances_are_asked_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let times = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&times);
        thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, SeqCst);
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                thread::sleep(Duration::from_millis(50));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"instance\":\"alpha\"}");
            }
        });
        let processors = processors(&[address, "127.0.0.1:1".into()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let all = runtime.unwrap().block_on(async {
            // One goes away at once: the others still see the answer.
            let gone = tokio::time::timeout(Duration::from_millis(1), processors.samples()).await;
            assert!(gone.is_err());
            futures::future::join_all((0..20).map(|_| processors.samples())).await
        });
        for samples in all {
            let names: Vec<String> = samples.iter().map(InstanceSample::name).collect();
            assert_eq!(names, ["127.0.0.1:1", "alpha"]);
        }
        assert_eq!(times.load(SeqCst), 1);
    }

    #[test]
    fn what_is_wrong_is_told_of_each() {
        let nowhere = asked(&[server(ELSEWHERE)]).unwrap_err();
        assert!(matches!(nowhere, ProcessorsError::Nowhere), "{nowhere}");
        let refused = server("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        let without = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        let other = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
        let error = asked(&[refused.clone(), without.clone(), other.clone()])
            .unwrap_err()
            .to_string();
        for part in [
            format!("{refused}: it refuses the token"),
            format!("{without}: it shows no holdings"),
            format!("{other}: no holdings: "),
        ] {
            assert!(error.contains(&part), "{part} is not in {error}");
        }
        assert!(!error.contains("ann") && !error.contains("secret"), "{error}");
    }
}
