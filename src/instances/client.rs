//! Finds all instances behind some addresses, and asks one. What an instance may send is bounded.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::header::HOST;
use reqwest::{Client, StatusCode, redirect};
use tokio::net::lookup_host;
use url::Url;

use crate::instances::address::InstanceAddress;

/// The most addresses of one name that are asked.
const MOST_OF_A_NAME: usize = 1_024;

/// An address that a name had is asked for so long after its last answer. An instance in trouble may have lost its name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Asks instances over HTTP, directly: a proxy would not reach them, and a redirect would carry a question elsewhere.
#[derive(Debug)]
pub struct InstanceClient {
    addresses: Vec<InstanceAddress>,
    /// How long one answer may take, or one look-up of a name.
    timeout: Duration,
    client: Client,
    /// The addresses that names had. The time is of the last answer, or of the first look-up.
    known: Mutex<BTreeMap<NamedHost, Instant>>,
}

/// One of the hosts of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct NamedHost {
    name: String,
    found: SocketAddr,
}

/// Where one instance is asked.
#[derive(Debug, Clone)]
pub struct InstancePlace {
    base: Url,
    /// The name that the address was found under.
    host: Option<NamedHost>,
}

/// What is asked, and how much of an answer is read.
#[derive(Debug, Clone, Copy)]
pub struct InstanceQuestion<'a> {
    /// The path, without a `/` before it.
    pub path: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    pub token: Option<&'a str>,
    pub most_bytes: usize,
}

/// What an instance answers. The body is read only if the status is one of success.
#[derive(Debug)]
pub struct InstanceReply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl InstanceClient {
    /// # Errors
    /// The client for HTTP cannot be made.
    pub fn new(addresses: Vec<InstanceAddress>, timeout: Duration) -> Result<Self, String> {
        let client = Client::builder()
            // The endpoint has few connections, and each is for one request.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {}", cause(error)))?;
        Ok(Self {
            addresses,
            timeout,
            client,
            known: Mutex::default(),
        })
    }

    /// All instances, by their names for people, or why those of an address are not found. One name may have many.
    pub async fn places(&self) -> BTreeMap<String, Result<InstancePlace, String>> {
        let addresses = self.addresses.clone().into_iter();
        let found = join_all(addresses.map(|address| self.find(address))).await;
        found.into_iter().flatten().collect()
    }

    async fn find(&self, address: InstanceAddress) -> Vec<(String, Result<InstancePlace, String>)> {
        let Some((name, port)) = &address.name else {
            let place = InstancePlace {
                base: address.base.clone(),
                host: None,
            };
            return vec![(address.shown(), Ok(place))];
        };
        let looked_up = tokio::time::timeout(self.timeout, lookup_host((name.as_str(), *port))).await;
        let (found, why) = match looked_up {
            Ok(Ok(found)) => (one_family(found.collect()), "its name has no address".to_owned()),
            Ok(Err(error)) => (Vec::new(), format!("its name is not found: {error}")),
            Err(_) => (Vec::new(), format!("its name is not found within {:?}", self.timeout)),
        };
        let found = self.known_as(name, *port, found);
        if found.is_empty() {
            return vec![(address.shown(), Err(why))];
        }
        let places = found.into_iter().filter_map(|found| {
            let mut base = address.base.clone();
            base.set_ip_host(found.ip()).ok()?;
            let host = Some(NamedHost {
                name: name.clone(),
                found,
            });
            Some((format!("{found} ({name})"), Ok(InstancePlace { base, host })))
        });
        places.collect()
    }

    /// The addresses that a name has now, and those that it had, but for those that have not answered for long.
    fn known_as(&self, name: &str, port: u16, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let (now, mut known) = (Instant::now(), self.known());
        for found in &found {
            let host = NamedHost {
                name: name.to_owned(),
                found: *found,
            };
            known.entry(host).or_insert(now);
        }
        known.retain(|host, since| {
            let is_other = host.name != name || host.found.port() != port;
            is_other || found.contains(&host.found) || since.elapsed() < FORGOTTEN_AFTER
        });
        let own = known
            .keys()
            .filter(|host| host.name == name && host.found.port() == port);
        own.map(|host| host.found).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<NamedHost, Instant>> {
        // Every change is complete, so it is right after a panic too.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the instance at a place answers.
    pub fn note_answer(&self, place: &InstancePlace) {
        if let Some(host) = &place.host {
            self.known().insert(host.clone(), Instant::now());
        }
    }

    /// # Errors
    /// Why there is no answer, in words that have nothing of the question.
    pub async fn ask(&self, place: &InstancePlace, question: &InstanceQuestion<'_>) -> Result<InstanceReply, String> {
        let mut url = place.base.clone();
        url.set_path(&format!("{}{}", url.path(), question.path));
        if !question.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(question.parameters);
        }
        let mut request = self.client.get(url);
        if let Some(NamedHost { name, found }) = &place.host {
            let host = match place.base.port() {
                Some(_) => format!("{name}:{}", found.port()),
                None => name.clone(),
            };
            request = request.header(HOST, host);
        }
        if let Some(token) = question.token {
            request = request.bearer_auth(token);
        }
        let in_words = |error: reqwest::Error| match error.is_timeout() {
            true => format!("no answer within {:?}", self.timeout),
            false => cause(error),
        };
        let mut response = request.send().await.map_err(in_words)?;
        let (status, mut body) = (response.status(), Vec::new());
        if !status.is_success() {
            return Ok(InstanceReply { status, body });
        }
        while let Some(chunk) = response.chunk().await.map_err(in_words)? {
            if body.len().saturating_add(chunk.len()) > question.most_bytes {
                return Err(format!("its answer has more than {} MiB", question.most_bytes >> 20));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(InstanceReply { status, body })
    }
}

/// IPv4 addresses, or all others if there are none. A host with both kinds is one instance.
fn one_family(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let ipv4: Vec<SocketAddr> = found.iter().filter(|found| found.is_ipv4()).copied().collect();
    let mut found = if ipv4.is_empty() { found } else { ipv4 };
    found.truncate(MOST_OF_A_NAME);
    found
}

/// The cause of an error, which says most. It does not have the URL, which may have an account.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn client(addresses: &str) -> InstanceClient {
        let addresses = InstanceAddress::read_list(addresses).unwrap();
        InstanceClient::new(addresses, Duration::from_secs(4)).unwrap()
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work)
    }

    fn names(client: &InstanceClient) -> Vec<String> {
        wait(client.places()).into_keys().collect()
    }

    #[test]
    fn an_address_that_lost_its_name_is_asked_on_for_a_while() {
        let client = client("localhost:1");
        for (name, address) in [
            ("localhost", "127.0.0.9:1"),
            ("localhost", "127.0.0.9:2"),
            ("elsewhere", "127.0.0.8:1"),
        ] {
            let host = NamedHost {
                name: name.into(),
                found: address.parse().unwrap(),
            };
            client.known().insert(host, Instant::now());
        }
        assert_eq!(names(&client), ["127.0.0.1:1 (localhost)", "127.0.0.9:1 (localhost)"]);
        let old = Instant::now().checked_sub(FORGOTTEN_AFTER).unwrap();
        for since in client.known().values_mut() {
            *since = old;
        }
        // It answered meanwhile.
        let places = wait(client.places());
        assert_eq!(places.len(), 1, "{places:?}");
        client.note_answer(places["127.0.0.1:1 (localhost)"].as_ref().unwrap());
        let own = |host: &NamedHost| host.name == "localhost" && host.found.port() == 1;
        let known: Vec<Instant> = client
            .known()
            .iter()
            .filter(|(host, _)| own(host))
            .map(|(_, since)| *since)
            .collect();
        assert!(known.len() == 1 && known[0] > old);
    }

    #[test]
    fn a_host_with_both_kinds_of_addresses_is_one_instance() {
        let [four, six]: [SocketAddr; 2] = ["10.0.0.1:1", "[fe80::1]:1"].map(|address| address.parse().unwrap());
        assert_eq!(one_family(vec![six, four]), [four]);
        assert_eq!(one_family(vec![six]), [six]);
    }

    #[test]
    fn a_question_has_the_name_the_token_and_its_parameters_and_errors_have_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            String::from_utf8_lossy(&request[..read]).to_ascii_lowercase()
        });
        let client = client(&format!("http://localhost:{port}/behind/"));
        let places = wait(client.places());
        let place = places[&format!("127.0.0.1:{port} (localhost)")].as_ref().unwrap();
        let question = InstanceQuestion {
            path: "holdings",
            parameters: &[("account", "ann/earn")],
            token: Some("secret"),
            most_bytes: 1 << 20,
        };
        let reply = wait(client.ask(place, &question)).unwrap();
        assert_eq!((reply.status, reply.body), (StatusCode::OK, b"ok".to_vec()));
        let asked = server.join().unwrap();
        for part in [
            "get /behind/holdings?account=ann%2fearn http/1.1\r\n".to_owned(),
            format!("host: localhost:{port}\r\n"),
            "authorization: bearer secret\r\n".into(),
        ] {
            assert!(asked.contains(&part), "{part} is not in {asked}");
        }
        // Nobody listens any more.
        let error = wait(client.ask(place, &question)).unwrap_err();
        assert!(error.starts_with("Connection refused"), "{error}");
        assert!(!error.contains("ann") && !error.contains("secret"), "{error}");
    }
}
