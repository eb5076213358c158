//! A proxy in front of the brokers. It fails as a network does, or in the middle of chosen requests.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, mem};

use super::wire::{read_frame, write_frame};
use super::{Cluster, wait_for};

/// The pause between two looks for new connections.
const ACCEPT: Duration = Duration::from_millis(2);

/// Kinds of requests, with Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before the broker sees the request.
    DropRequest,
    /// The broker carries the request out. The connection is cut before the client gets the reply.
    DropReply,
    /// The reply and all later ones on that connection are held back this long.
    DelayReply(Duration),
    /// The reply, which is to metadata, names no broker: so a broker answers while it is fenced.
    NoBrokers,
}

struct Rule {
    api: Api,
    left: usize,
    fault: Fault,
    matches: Matches,
}

/// Whether a rule applies to a request.
type Matches = Box<dyn Fn(&[u8]) -> bool + Send>;

/// The planned faults, shared by all connections.
#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    /// Requests seen, by kind.
    seen: BTreeMap<i16, usize>,
    /// Faults that have happened, by kind of request.
    struck: BTreeMap<i16, usize>,
}

impl Plan {
    /// Counts a request and finds its fault, if one is planned.
    fn fault_of(&mut self, request: &[u8]) -> Option<Fault> {
        let kind = kind(request);
        *self.seen.entry(kind).or_default() += 1;
        let mut rules = self.rules.iter_mut();
        let rule = rules.find(|rule| rule.left > 0 && rule.api as i16 == kind && (rule.matches)(request))?;
        rule.left -= 1;
        Some(rule.fault)
    }
}

#[derive(Default)]
struct State {
    refusing: bool,
    stalled: bool,
    holding: bool,
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
    resumed: Condvar,
    plan: Arc<Mutex<Plan>>,
}

/// The two sockets of one proxied connection, closed together.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
}

impl Connection {
    fn cut(&self) {
        // One of them may be closed already.
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

/// The version of a request.
fn version(request: &[u8]) -> i16 {
    let bytes = request.get(2..).and_then(<[u8]>::first_chunk);
    bytes.map_or(-1, |bytes| i16::from_be_bytes(*bytes))
}

/// From this version on, lengths in requests for metadata and in their replies are compact.
const COMPACT_METADATA: i16 = 9;

/// A reply to a request for metadata of such a version, without its brokers. The numbers in it must fit a byte.
fn without_brokers(reply: &[u8]) -> Option<Vec<u8>> {
    // The correlation, no tagged fields, the time of a throttle.
    const BEFORE: usize = 4 + 1 + 4;
    const NUMBER: usize = 4;
    let size = |at: usize| reply.get(at).map(|size| usize::from(*size));
    let mut at = BEFORE + 1;
    for _ in 1..size(BEFORE)? {
        // Its id, host, port, rack, and no tagged fields. A length counts its own byte, but is 0 for none.
        at += NUMBER;
        at += size(at)? + NUMBER;
        at += size(at)?.max(1) + 1;
    }
    let (before, after) = (reply.get(..BEFORE)?, reply.get(at..)?);
    Some([before, &[1], after].concat())
}

/// The part of a request that its reply repeats.
type Correlation = [u8; 4];

fn correlation(frame: &[u8]) -> io::Result<Correlation> {
    Ok(*frame.first_chunk().ok_or(io::ErrorKind::InvalidData)?)
}

impl Gate {
    /// Accepts connections until the proxy is dropped.
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
                // Without a listener the system refuses connections.
                listener = None;
            } else if listener.is_none() {
                listener = listen(self.listen).ok();
            }
            match listener.as_ref().map(TcpListener::accept) {
                Some(Ok((client, _))) => {
                    let gate = Arc::clone(self);
                    // A connection may well end with an error.
                    thread::spawn(move || gate.carry(client));
                }
                _ => thread::sleep(ACCEPT),
            }
        }
    }

    /// Waits while replies are held back.
    fn hold(&self) {
        let state = lock(&self.state);
        let state = self.resumed.wait_while(state, |state| state.holding && !state.closed);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits while the broker is stalled. Returns the delay of requests.
    fn pass(&self) -> Duration {
        let state = lock(&self.state);
        let state = self.resumed.wait_while(state, |state| state.stalled && !state.closed);
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
            // Any error ends the connection.
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
                let fault = plan.fault_of(&request);
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
            let mut reply = read_frame(&mut from)?;
            self.pass();
            self.hold();
            let answered = {
                let mut expected = lock(expected);
                let correlation = correlation(&reply)?;
                // Replies come in the order of requests. Skipped requests have asked for no reply.
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
                    Fault::NoBrokers => reply = without_brokers(&reply).ok_or(io::ErrorKind::InvalidData)?,
                    Fault::DropRequest => {}
                }
            }
            write_frame(&mut to, &reply)?;
        }
    }
}

/// A request whose reply is awaited.
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

/// In front of all brokers of a cluster, for clients that start at its `bootstrap`.
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
                    resumed: Condvar::new(),
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

    /// The bootstrap servers for clients behind the proxy.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.gates.iter().map(|gate| gate.listen.to_string()).collect();
        addresses.join(",")
    }

    fn set(&self, broker: usize, change: impl FnOnce(&mut State)) {
        let gate = &self.gates[broker];
        change(&mut lock(&gate.state));
        gate.resumed.notify_all();
    }

    /// Closes all connections to a broker. New ones are accepted.
    pub fn cut(&self, broker: usize) {
        self.set(broker, |state| {
            mem::take(&mut state.connections).values().for_each(Connection::cut);
        });
    }

    pub fn cut_all(&self) {
        (0..self.gates.len()).for_each(|broker| self.cut(broker));
    }

    /// Refuses connections to a broker and closes the open ones, or accepts them again.
    pub fn refuse(&self, broker: usize, refusing: bool) {
        self.set(broker, |state| state.refusing = refusing);
        if refusing {
            self.cut(broker);
        }
    }

    /// Holds back every request to a broker this long, one after the other.
    pub fn delay(&self, broker: usize, delay: Duration) {
        self.set(broker, |state| state.delay = delay);
    }

    /// Holds back everything to and from a broker. Connections stay open.
    pub fn stall(&self, broker: usize) {
        self.set(broker, |state| state.stalled = true);
    }

    /// Ends a stall.
    pub fn resume(&self, broker: usize) {
        self.set(broker, |state| state.stalled = false);
    }

    /// Holds back all replies of a broker, which still gets the requests; or lets them go, all at once.
    pub fn hold_replies(&self, broker: usize, holding: bool) {
        self.set(broker, |state| state.holding = holding);
    }

    /// From now on, replies to requests for metadata name no broker.
    pub fn hide_brokers(&self) {
        self.plan_for(Api::Metadata, usize::MAX, Fault::NoBrokers, |request| {
            version(request) >= COMPACT_METADATA
        });
    }

    /// Drops the replies to the next `times` requests of this kind: they are carried out, and the connection is cut.
    pub fn drop_replies_of(&self, api: Api, times: usize) {
        self.plan_for(api, times, Fault::DropReply, |_| true);
    }

    /// Drops the next `times` requests of this kind before their broker sees them: the connection is cut.
    pub fn drop_requests_of(&self, api: Api, times: usize) {
        self.plan_for(api, times, Fault::DropRequest, |_| true);
    }

    /// Delays the replies to the next `times` requests of this kind.
    pub fn delay_replies_of(&self, api: Api, times: usize, delay: Duration) {
        self.plan_for(api, times, Fault::DelayReply(delay), |_| true);
    }

    /// Plans a fault for the next `times` requests of this kind that match. `matches` gets the bytes of the request,
    /// from its kind on.
    pub fn plan_for(&self, api: Api, times: usize, fault: Fault, matches: impl Fn(&[u8]) -> bool + Send + 'static) {
        lock(&self.plan).rules.push(Rule {
            api,
            left: times,
            fault,
            matches: Box::new(matches),
        });
    }

    /// Cancels all planned faults that have not happened yet.
    pub fn forget_plans(&self) {
        lock(&self.plan).rules.clear();
    }

    /// How many requests of this kind were seen.
    pub fn seen(&self, api: Api) -> usize {
        lock(&self.plan).seen.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// How many planned faults of this kind have happened. A fault of a reply happens when the broker has sent it.
    pub fn struck(&self, api: Api) -> usize {
        lock(&self.plan).struck.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Waits until this many planned faults of this kind have happened.
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
            // A panic there has no consequence for the test.
            let _ = thread.join();
        }
    }
}
