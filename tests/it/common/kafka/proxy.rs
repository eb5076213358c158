//! A proxy in front of the brokers that fails as a network does, and in the middle of the requests that it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, mem};

use super::wire::{read_frame, write_frame};
use super::{Cluster, wait_for};

/// How often it looks for new connections.
const ACCEPT: Duration = Duration::from_millis(2);

/// Kinds of requests, by Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    CreateTopics = 19,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before the broker sees the request.
    DropRequest,
    /// The broker does what it was asked to; the connection is cut before the client learns of it.
    DropReply,
    /// The reply is held back so long, and all that come after it on that connection.
    DelayReply(Duration),
}

struct Rule {
    api: Api,
    left: usize,
    fault: Fault,
    concerns: Concerns,
}

/// Tells whether a fault is meant for a request.
type Concerns = Box<dyn Fn(&[u8]) -> bool + Send>;

/// What all connections share.
#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    /// Requests seen, by kind.
    seen: BTreeMap<i16, usize>,
    /// Faults that have happened, by kind of request.
    struck: BTreeMap<i16, usize>,
}

impl Plan {
    /// Counts a request and decides what becomes of it.
    fn judge(&mut self, request: &[u8]) -> Option<Fault> {
        let kind = kind(request);
        *self.seen.entry(kind).or_default() += 1;
        let mut concerning = self.rules.iter_mut();
        let rule = concerning.find(|rule| rule.left > 0 && rule.api as i16 == kind && (rule.concerns)(request))?;
        rule.left -= 1;
        Some(rule.fault)
    }
}

#[derive(Default)]
struct State {
    refusing: bool,
    frozen: bool,
    closed: bool,
    delay: Duration,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

/// The proxy's side of one broker.
struct Gate {
    listen: SocketAddr,
    broker: SocketAddr,
    state: Mutex<State>,
    thawed: Condvar,
    plan: Arc<Mutex<Plan>>,
}

/// Both ends of what is connected, to be closed together.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
}

impl Connection {
    fn cut(&self) {
        // An end that is closed already is as it should be.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn share(&self) -> io::Result<Self> {
        Ok(Self {
            client: self.client.try_clone()?,
            broker: self.broker.try_clone()?,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(request: &[u8]) -> i16 {
    request.first_chunk().map_or(-1, |bytes| i16::from_be_bytes(*bytes))
}

/// What a reply repeats of its request.
type Correlation = [u8; 4];

fn correlation(frame: &[u8]) -> io::Result<Correlation> {
    Ok(*frame.first_chunk().ok_or(io::ErrorKind::InvalidData)?)
}

impl Gate {
    /// Takes connections until the proxy is gone.
    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            let (closed, refusing) = {
                let state = lock(&self.state);
                (state.closed, state.refusing)
            };
            if closed {
                return;
            }
            if refusing {
                // Without a listener the system itself refuses.
                listener = None;
            } else if listener.is_none() {
                listener = listen(self.listen).ok();
            }
            match listener.as_ref().map(TcpListener::accept) {
                Some(Ok((client, _))) => {
                    let gate = Arc::clone(self);
                    // A connection that ends with an error is one of the things that happen.
                    thread::spawn(move || gate.carry(client));
                }
                _ => thread::sleep(ACCEPT),
            }
        }
    }

    /// Waits while the broker is frozen.
    fn pass(&self) -> Duration {
        let state = lock(&self.state);
        let state = self.thawed.wait_while(state, |state| state.frozen && !state.closed);
        state.unwrap_or_else(PoisonError::into_inner).delay
    }

    fn carry(&self, client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_nodelay(true)?;
        let broker = TcpStream::connect_timeout(&self.broker, Duration::from_secs(1))?;
        broker.set_nodelay(true)?;
        let connection = Connection { client, broker };
        let number = {
            let mut state = lock(&self.state);
            if state.refusing || state.closed {
                return Ok(());
            }
            state.next += 1;
            let number = state.next;
            state.connections.insert(number, connection.share()?);
            number
        };
        let expected = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let ended = self.carry_requests(&connection, &expected);
                connection.cut();
                ended
            });
            // The end of a connection, whatever brings it about.
            let _ = self.carry_replies(&connection, &expected);
            connection.cut();
        });
        lock(&self.state).connections.remove(&number);
        Ok(())
    }

    fn carry_requests(&self, connection: &Connection, expected: &Mutex<VecDeque<Expected>>) -> io::Result<()> {
        let (mut from, mut to) = (&connection.client, &connection.broker);
        loop {
            let request = read_frame(&mut from)?;
            thread::sleep(self.pass());
            let kind = kind(&request);
            let fault = {
                let mut plan = lock(&self.plan);
                let fault = plan.judge(&request);
                if fault == Some(Fault::DropRequest) {
                    *plan.struck.entry(kind).or_default() += 1;
                    return Ok(());
                }
                fault
            };
            lock(expected).push_back(Expected {
                correlation: correlation(request.get(4..).unwrap_or_default())?,
                kind,
                fault,
            });
            write_frame(&mut to, &request)?;
        }
    }

    fn carry_replies(&self, connection: &Connection, expected: &Mutex<VecDeque<Expected>>) -> io::Result<()> {
        let (mut from, mut to) = (&connection.broker, &connection.client);
        loop {
            let reply = read_frame(&mut from)?;
            self.pass();
            let answered = {
                let mut expected = lock(expected);
                let correlation = correlation(&reply)?;
                // Replies come in the order of requests; those before it that are skipped here asked for none.
                loop {
                    let next = expected.pop_front().ok_or(io::ErrorKind::InvalidData)?;
                    if next.correlation == correlation {
                        break next;
                    }
                }
            };
            if let Some(fault) = answered.fault {
                *lock(&self.plan).struck.entry(answered.kind).or_default() += 1;
                match fault {
                    Fault::DropReply => return Ok(()),
                    Fault::DelayReply(delay) => thread::sleep(delay),
                    Fault::DropRequest => {}
                }
            }
            write_frame(&mut to, &reply)?;
        }
    }
}

/// A request that went to the broker.
struct Expected {
    correlation: Correlation,
    kind: i16,
    fault: Option<Fault>,
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// In front of all brokers of a cluster, for the clients that begin at its `bootstrap`.
pub struct Proxy {
    gates: Vec<Arc<Gate>>,
    plan: Arc<Mutex<Plan>>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    pub fn before(cluster: &Cluster) -> Self {
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let gates: Vec<Arc<Gate>> = cluster
            .all()
            .map(|broker| {
                Arc::new(Gate {
                    listen: local(broker.ports.proxy),
                    broker: local(broker.ports.proxied),
                    state: Mutex::default(),
                    thawed: Condvar::new(),
                    plan: Arc::clone(&plan),
                })
            })
            .collect();
        let threads = gates
            .iter()
            .map(|gate| {
                let gate = Arc::clone(gate);
                let listener = listen(gate.listen).unwrap_or_else(|e| panic!("{}: {e}", gate.listen));
                thread::spawn(move || gate.serve(listener))
            })
            .collect();
        Self { gates, plan, threads }
    }

    /// Where a client begins whose connections go through here.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.gates.iter().map(|gate| gate.listen.to_string()).collect();
        addresses.join(",")
    }

    fn set(&self, broker: usize, change: impl FnOnce(&mut State)) {
        let gate = &self.gates[broker];
        change(&mut lock(&gate.state));
        gate.thawed.notify_all();
    }

    /// Closes all connections to a broker. New ones are taken.
    pub fn cut(&self, broker: usize) {
        self.set(broker, |state| {
            mem::take(&mut state.connections).values().for_each(Connection::cut);
        });
    }

    pub fn cut_all(&self) {
        (0..self.gates.len()).for_each(|broker| self.cut(broker));
    }

    /// Refuses connections to a broker, and closes those there are; or takes them again.
    pub fn reject(&self, broker: usize, refusing: bool) {
        self.set(broker, |state| state.refusing = refusing);
        if refusing {
            self.cut(broker);
        }
    }

    /// Holds every request to a broker back for so long, one after the other.
    pub fn delay(&self, broker: usize, delay: Duration) {
        self.set(broker, |state| state.delay = delay);
    }

    /// Lets nothing through to or from a broker, without closing anything.
    pub fn freeze(&self, broker: usize) {
        self.set(broker, |state| state.frozen = true);
    }

    /// Lets everything through that was held up, and what comes.
    pub fn thaw(&self, broker: usize) {
        self.set(broker, |state| state.frozen = false);
    }

    /// The next so many requests of this kind reach their broker and are carried out, but instead of the reply the client sees its connection cut.
    pub fn drop_replies_of(&self, api: Api, times: usize) {
        self.plan_for(api, times, Fault::DropReply, |_| true);
    }

    /// The next so many requests of this kind never reach their broker: the client sees its connection cut.
    pub fn drop_requests_of(&self, api: Api, times: usize) {
        self.plan_for(api, times, Fault::DropRequest, |_| true);
    }

    /// The replies to the next so many requests of this kind come late.
    pub fn delay_replies_of(&self, api: Api, times: usize, delay: Duration) {
        self.plan_for(api, times, Fault::DelayReply(delay), |_| true);
    }

    /// The next so many requests of this kind that are of concern fail in this way. What is looked at is the request as it is sent, from its kind on.
    pub fn plan_for(&self, api: Api, times: usize, fault: Fault, concerns: impl Fn(&[u8]) -> bool + Send + 'static) {
        lock(&self.plan).rules.push(Rule {
            api,
            left: times,
            fault,
            concerns: Box::new(concerns),
        });
    }

    /// Takes back all that was planned for requests and has not happened yet.
    pub fn forget_plans(&self) {
        lock(&self.plan).rules.clear();
    }

    /// How many requests of this kind have come.
    pub fn seen(&self, api: Api) -> usize {
        lock(&self.plan).seen.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// How many requests of this kind have failed as planned: for a reply, once the broker had given it.
    pub fn struck(&self, api: Api) -> usize {
        lock(&self.plan).struck.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Waits until so many requests of this kind have failed as planned.
    pub fn wait_until_struck(&self, api: Api, times: usize) {
        wait_for(&format!("{times} failures of {api:?}"), || {
            (self.struck(api) >= times).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for broker in 0..self.gates.len() {
            self.set(broker, |state| state.closed = true);
            self.cut(broker);
        }
        for thread in mem::take(&mut self.threads) {
            // It has nothing to fail at; and if it did, the test has failed by now.
            let _ = thread.join();
        }
    }
}
