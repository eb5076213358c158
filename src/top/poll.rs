//! Asks all instances for their status, again and again. An instance that does not answer holds up no other, and is no error.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::header::HOST;
use reqwest::{Client, redirect};
use tokio::net::lookup_host;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::top::address::{InstanceAddress, host_and_port};
use crate::top::document::{SafeText, StatusDocument};
use crate::top::sample::{InstanceAnswer, InstanceSample};

/// How many instances are asked at a time.
const AT_A_TIME: usize = 64;

/// The largest answer that is read. An instance with 4,096 tasks has some 3 MB.
const MOST_BYTES: usize = 16 << 20;

/// An address that a name had is asked for so long after its last answer. An instance in trouble may have lost its name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Whom to ask, and how often.
#[derive(Debug, Clone)]
pub struct PollSettings {
    pub addresses: Vec<InstanceAddress>,
    /// From the begin of a round to the next.
    pub interval: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// All answers. Another thread brings them up to date.
#[derive(Debug)]
pub struct InstancePoll {
    settings: PollSettings,
    client: Client,
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// What is known of an instance.
#[derive(Debug)]
struct Seen {
    answer: InstanceAnswer,
    /// When it answered, and its status.
    last: Option<(Instant, Arc<StatusDocument>)>,
    since: Instant,
}

/// Where one instance is asked.
#[derive(Debug, Clone)]
struct Place {
    url: Url,
    /// The name that the address was found under.
    name: Option<String>,
}

impl InstancePoll {
    /// # Errors
    /// The client for HTTP cannot be made.
    pub fn new(settings: PollSettings) -> Result<Self, String> {
        let client = Client::builder()
            // The endpoint has few connections, and each is for one request. A proxy would not reach the instances.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(settings.timeout)
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {}", cause(&error)))?;
        Ok(Self {
            settings,
            client,
            seen: Mutex::default(),
        })
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
                    let next = tokio::time::Instant::now() + poll.settings.interval;
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

    async fn round(&self) {
        let mut places = BTreeMap::new();
        for address in &self.settings.addresses {
            self.find(address, &mut places).await;
        }
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

    /// Adds the instances of an address. One name may have many.
    async fn find(&self, address: &InstanceAddress, places: &mut BTreeMap<String, Result<Place, String>>) {
        let Some((name, port)) = &address.name else {
            let place = Place {
                url: address.url.clone(),
                name: None,
            };
            places.insert(shown(&address.url), Ok(place));
            return;
        };
        // An instance in trouble may have lost its name.
        let mut found: Vec<SocketAddr> = self.known_as(name, *port);
        let looked_up = tokio::time::timeout(self.settings.timeout, lookup_host((name.as_str(), *port))).await;
        let why = match looked_up {
            Ok(Ok(addresses)) => {
                found.extend(one_family(addresses.collect()));
                "its name has no address".to_owned()
            }
            Ok(Err(error)) => format!("its name is not found: {error}"),
            Err(_) => format!("its name is not found within {:?}", self.settings.timeout),
        };
        if found.is_empty() {
            places.insert(shown(&address.url), Err(why));
        }
        let found = found.into_iter().filter_map(|found| place(address, name, found));
        places.extend(found.map(|(address, place)| (address, Ok(place))));
    }

    /// The addresses that a name had in earlier rounds, but for those that have not answered for long.
    fn known_as(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        let suffix = format!(" ({name})");
        let seen = self.seen();
        let known = seen.iter().filter_map(|(address, seen)| {
            let silent_since = seen.last.as_ref().map_or(seen.since, |(at, _)| *at);
            let found: SocketAddr = address.strip_suffix(&suffix)?.parse().ok()?;
            (found.port() == port && silent_since.elapsed() < FORGOTTEN_AFTER).then_some(found)
        });
        known.collect()
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

    async fn ask(&self, place: &Place) -> Result<StatusDocument, String> {
        let mut request = self.client.get(place.url.clone());
        if let Some(name) = &place.name {
            request = request.header(HOST, name);
        }
        let in_words = |error: reqwest::Error| match error.is_timeout() {
            true => format!("no answer within {:?}", self.settings.timeout),
            false => cause(&error),
        };
        let mut response = request.send().await.map_err(in_words)?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(format!(
                "it answers with status {status}: is it the address of `monitor.listen`?"
            ));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(in_words)? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err(format!("its answer has more than {} MiB", MOST_BYTES >> 20));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .map_err(|error| format!("its answer is no status: {error}: is it the address of `monitor.listen`?"))
    }
}

impl Seen {
    fn new() -> Self {
        Self {
            answer: InstanceAnswer::Asked,
            last: None,
            since: Instant::now(),
        }
    }
}

fn runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the asynchronous runtime: {error}"))
}

/// The name of an instance that is asked by its URL.
fn shown(url: &Url) -> String {
    match (url.scheme(), url.path()) {
        ("http", "/status") => host_and_port(url),
        _ => url.to_string(),
    }
}

/// One of the hosts of a name.
fn place(address: &InstanceAddress, name: &str, found: SocketAddr) -> Option<(String, Place)> {
    let mut url = address.url.clone();
    url.set_ip_host(found.ip()).ok()?;
    let place = Place {
        url,
        name: Some(match address.url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        }),
    };
    Some((format!("{found} ({name})"), place))
}

/// IPv4 addresses, or all others if there are none. A host with both kinds is one instance.
fn one_family(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let ipv4: Vec<SocketAddr> = found.iter().filter(|found| found.is_ipv4()).copied().collect();
    if ipv4.is_empty() { found } else { ipv4 }
}

/// The cause of an error, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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
                server(http(&" ".repeat(MOST_BYTES + 1))),
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
    fn an_address_that_lost_its_name_is_asked_on_for_a_while() {
        let settings = PollSettings {
            addresses: vec!["localhost:1".parse().unwrap()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        let poll = InstancePoll::new(settings).unwrap();
        poll.note("127.0.0.9:1 (localhost)", Ok(StatusDocument::default()));
        poll.note("127.0.0.9:2 (localhost)", Err("away".into()));
        poll.once().unwrap();
        let samples = poll.samples();
        let away = samples
            .iter()
            .find(|sample| sample.address.as_str() == "127.0.0.9:1 (localhost)");
        assert!(why(away.unwrap()).starts_with("Connection refused"));
        assert!(away.unwrap().last.is_some());
        let old = Instant::now() - FORGOTTEN_AFTER;
        for seen in poll.seen().values_mut() {
            seen.since = old;
            seen.last = None;
        }
        poll.once().unwrap();
        let samples = poll.samples();
        let left: Vec<&str> = samples.iter().map(|sample| sample.address.as_str()).collect();
        assert_eq!(left, ["127.0.0.1:1 (localhost)"]);
    }

    #[test]
    fn a_host_with_both_kinds_of_addresses_is_one_instance() {
        let [four, six]: [SocketAddr; 2] = ["10.0.0.1:1", "[fe80::1]:1"].map(|address| address.parse().unwrap());
        assert_eq!(one_family(vec![six, four]), [four]);
        assert_eq!(one_family(vec![six]), [six]);
    }
}
