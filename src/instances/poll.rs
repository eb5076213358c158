//! Asks all instances for their status, again and again. An instance that does not answer holds up no other, and is no error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};

use crate::instances::address::InstanceAddress;
use crate::instances::client::{InstanceClient, InstancePlace, InstanceQuestion};
use crate::instances::document::{SafeText, StatusDocument};
use crate::instances::sample::{InstanceAnswer, InstanceSample};

/// How many instances are asked at a time.
const AT_A_TIME: usize = 32;

/// An instance with 4,096 tasks has some 3 MB.
const STATUS: InstanceQuestion<'_> = InstanceQuestion {
    path: "status",
    parameters: &[],
    token: None,
    most_bytes: 16 << 20,
};

/// Whom to ask, and how often.
#[derive(Debug, Clone)]
pub struct PollSettings {
    pub addresses: Vec<InstanceAddress>,
    /// From the begin of a round to the next.
    pub interval: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// All answers, as they come.
#[derive(Debug)]
pub struct InstancePoll {
    client: InstanceClient,
    interval: Duration,
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// What is known of an instance.
#[derive(Debug)]
struct Seen {
    answer: InstanceAnswer,
    /// When it answered, and its status.
    last: Option<(Instant, Arc<StatusDocument>)>,
}

impl InstancePoll {
    /// # Errors
    /// The client for HTTP cannot be made.
    pub fn new(settings: PollSettings) -> Result<Self, String> {
        Ok(Self {
            client: InstanceClient::new(settings.addresses, settings.timeout)?,
            interval: settings.interval,
            seen: Mutex::default(),
        })
    }

    /// Who asks. It knows the addresses that names had.
    #[must_use]
    pub const fn client(&self) -> &InstanceClient {
        &self.client
    }

    /// Asks all instances once.
    ///
    /// # Errors
    /// The asynchronous runtime does not start.
    pub fn once(&self) -> Result<(), String> {
        runtime()?.block_on(self.round());
        Ok(())
    }

    /// Asks all instances again and again, on a thread of its own that ends with the process.
    ///
    /// # Errors
    /// The thread or the asynchronous runtime does not start.
    pub fn start(self: &Arc<Self>) -> Result<thread::JoinHandle<()>, String> {
        let (poll, runtime) = (Arc::clone(self), runtime()?);
        let work = move || {
            runtime.block_on(async {
                loop {
                    let next = tokio::time::Instant::now() + poll.interval;
                    poll.round().await;
                    tokio::time::sleep_until(next).await;
                }
            });
        };
        let thread = thread::Builder::new().name("poll".into()).spawn(work);
        thread.map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// What is known now, by address.
    #[must_use]
    pub fn samples(&self) -> Vec<InstanceSample> {
        let seen = self.seen();
        let samples = seen.iter().map(|(address, seen)| InstanceSample {
            address: SafeText::new(address),
            answer: seen.answer.clone(),
            last: seen
                .last
                .as_ref()
                .map(|(at, status)| (at.elapsed().as_secs_f64(), Arc::clone(status))),
        });
        samples.collect()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        // Every change is complete, so the answers are right after a panic too.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all instances once. Each answer is there as soon as it comes.
    pub async fn round(&self) {
        let places = self.client.places().await;
        {
            let mut seen = self.seen();
            seen.retain(|address, _| places.contains_key(address));
            for address in places.keys() {
                seen.entry(address.clone()).or_insert_with(Seen::new);
            }
        }
        let asked = futures::stream::iter(places).for_each_concurrent(AT_A_TIME, |(address, found)| async move {
            let answer = match found {
                Ok(place) => self.ask(&place).await,
                Err(why) => Err(why),
            };
            self.note(&address, answer);
        });
        asked.await;
    }

    fn note(&self, address: &str, answer: Result<StatusDocument, String>) {
        let mut seen = self.seen();
        let seen = seen.entry(address.to_owned()).or_insert_with(Seen::new);
        match answer {
            Ok(status) => {
                let status = Arc::new(status);
                seen.last = Some((Instant::now(), Arc::clone(&status)));
                seen.answer = InstanceAnswer::Status(status);
            }
            Err(why) => seen.answer = InstanceAnswer::Away(SafeText::new(&why)),
        }
    }

    async fn ask(&self, place: &InstancePlace) -> Result<StatusDocument, String> {
        let reply = self.client.ask(place, &STATUS).await?;
        if !reply.status.is_success() {
            let status = reply.status.as_u16();
            return Err(format!(
                "it answers with status {status}: is it the address of `monitor.listen`?"
            ));
        }
        let status = serde_json::from_slice(&reply.body)
            .map_err(|error| format!("its answer is no status: {error}: is it the address of `monitor.listen`?"))?;
        self.client.note_answer(place);
        Ok(status)
    }
}

impl Seen {
    const fn new() -> Self {
        Self {
            answer: InstanceAnswer::Asked,
            last: None,
        }
    }
}

fn runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the asynchronous runtime: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that sends these bytes to each client. Returns its port.
    fn server(answer: Vec<u8>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(&answer);
                if answer.is_empty() {
                    // It says nothing, and keeps the connection.
                    std::mem::forget(stream);
                }
            }
        });
        port
    }

    fn http(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn polled(addresses: &[String]) -> Vec<InstanceSample> {
        let settings = PollSettings {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(4),
        };
        let poll = InstancePoll::new(settings).unwrap();
        poll.once().unwrap();
        poll.samples()
    }

    fn why(sample: &InstanceSample) -> String {
        match &sample.answer {
            InstanceAnswer::Away(why) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_instance_has_an_answer_or_a_reason() {
        let good = server(http(r#"{"instance": "one", "uptime_seconds": 5}"#));
        let cases = [
            (server(http("{")), "its answer is no status: EOF"),
            (server(http("[]x")), "its answer is no status: "),
            (
                server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
                "it answers with status 404",
            ),
            (
                server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec()),
                "it answers with status 302",
            ),
            (server(b"SSH-2.0-x\r\n".to_vec()), "invalid HTTP"),
            (server(Vec::new()), "no answer within 4s"),
            (
                server(http(&" ".repeat(STATUS.most_bytes + 1))),
                "its answer has more than 16 MiB",
            ),
        ];
        let mut addresses = vec![format!("127.0.0.1:{good}"), "127.0.0.1:1".into()];
        addresses.extend(cases.iter().map(|(port, _)| format!("127.0.0.1:{port}")));
        let samples = polled(&addresses);
        assert_eq!(samples.len(), addresses.len());
        let of = |port: u16| {
            let address = format!("127.0.0.1:{port}");
            samples
                .iter()
                .find(|sample| sample.address.as_str() == address)
                .unwrap()
        };
        let InstanceAnswer::Status(status) = &of(good).answer else {
            panic!("{:?}", of(good));
        };
        assert_eq!(status.instance.as_ref().unwrap().as_str(), "one");
        assert!(why(of(1)).starts_with("Connection refused"), "{}", why(of(1)));
        for (port, expected) in cases {
            assert!(why(of(port)).contains(expected), "{} is not {expected}", why(of(port)));
        }
    }

    #[test]
    fn a_name_is_looked_up_and_one_that_is_not_found_is_a_line() {
        let port = server(http("{}"));
        let samples = polled(&[format!("localhost:{port}"), "no-such-host.invalid:1".into()]);
        let addresses: Vec<&str> = samples.iter().map(|sample| sample.address.as_str()).collect();
        assert_eq!(
            addresses,
            [
                format!("127.0.0.1:{port} (localhost)").as_str(),
                "no-such-host.invalid:1"
            ]
        );
        assert!(matches!(samples[0].answer, InstanceAnswer::Status(_)));
        assert!(
            why(&samples[1]).starts_with("its name is not found"),
            "{}",
            why(&samples[1])
        );
    }

    #[test]
    fn an_instance_that_went_away_keeps_its_last_status() {
        let settings = PollSettings {
            addresses: vec!["127.0.0.1:1".parse().unwrap()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        let poll = InstancePoll::new(settings).unwrap();
        poll.note("127.0.0.1:1", Ok(StatusDocument::default()));
        poll.note("127.0.0.9:1 (gone)", Ok(StatusDocument::default()));
        poll.once().unwrap();
        let samples = poll.samples();
        assert_eq!(samples.len(), 1, "no address has this name any more: {samples:?}");
        assert!(why(&samples[0]).starts_with("Connection refused"));
        assert!(samples[0].last.is_some());
    }
}
