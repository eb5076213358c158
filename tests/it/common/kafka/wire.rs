//! Requests of Kafka's protocol that the client library has no call for.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const DESCRIBE_ACLS: i16 = 29;
const CREATE_ACLS: i16 = 30;
const DELETE_ACLS: i16 = 31;
const ELECT_LEADERS: i16 = 43;
const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;

/// The kind of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinator {
    Group = 0,
    Transaction = 1,
}

/// A broker's error, by Kafka's number.
#[derive(Debug)]
pub struct Refused(pub i16);

fn rejection(code: i16) -> Result<(), Refused> {
    if code == 0 { Ok(()) } else { Err(Refused(code)) }
}

/// The cluster as one broker knows it.
#[derive(Debug)]
pub struct Metadata {
    /// The brokers that are up.
    pub brokers: Vec<i32>,
    pub topics: Vec<Topic>,
}

#[derive(Debug)]
pub struct Topic {
    pub name: String,
    /// Kafka's number of its error, or 0.
    pub error: i16,
    pub partitions: Vec<Partition>,
}

#[derive(Debug)]
pub struct Partition {
    pub id: i32,
    /// Below 0 if there is none.
    pub leader: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

/// A broker's metadata of the cluster and of one topic, or of all.
pub fn metadata(broker: u16, topic: Option<&str>) -> io::Result<Metadata> {
    let mut request = Vec::new();
    match topic {
        None => request.extend((-1_i32).to_be_bytes()),
        Some(topic) => {
            request.extend(1_i32.to_be_bytes());
            put_string(&mut request, topic);
        }
    }
    let create_it = false;
    request.push(u8::from(create_it));
    let answer = ask(broker, METADATA, 4, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(4)?;
    let brokers = fields.list(|fields| {
        let id = fields.i32()?;
        fields.string()?;
        fields.skip(4)?;
        fields.string()?;
        Ok(id)
    })?;
    fields.string()?;
    fields.skip(4)?;
    let topics = fields.list(|fields| {
        let error = fields.i16()?;
        let name = fields.string()?;
        fields.skip(1)?;
        let partitions = fields.list(|fields| {
            fields.skip(2)?;
            Ok(Partition {
                id: fields.i32()?,
                leader: fields.i32()?,
                replicas: fields.list(Fields::i32)?,
                in_sync: fields.list(Fields::i32)?,
            })
        })?;
        Ok(Topic {
            name,
            error,
            partitions,
        })
    })?;
    Ok(Metadata { brokers, topics })
}

/// The end of a partition, from its leader: the last stable offset if `committed`, otherwise the high watermark.
pub fn end_of(leader: u16, topic: &str, partition: i32, committed: bool) -> io::Result<Result<i64, Refused>> {
    const LATEST: i64 = -1;
    let mut request = Vec::new();
    request.extend((-1_i32).to_be_bytes());
    request.push(u8::from(committed));
    request.extend(1_i32.to_be_bytes());
    put_string(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(LATEST.to_be_bytes());
    let answer = ask(leader, LIST_OFFSETS, 2, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(4 + 4)?;
    fields.string()?;
    fields.skip(4 + 4)?;
    let code = fields.i16()?;
    fields.skip(8)?;
    let offset = fields.i64()?;
    Ok(rejection(code).map(|()| offset))
}

/// The coordinator of a group or a transactional id. The request creates Kafka's own topic for them if it does not
/// exist.
pub fn find_coordinator(broker: u16, id: &str, kind: Coordinator) -> io::Result<Result<i32, Refused>> {
    let mut request = Vec::new();
    put_string(&mut request, id);
    request.push(kind as u8);
    let answer = ask(broker, FIND_COORDINATOR, 1, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(4)?;
    let code = fields.i16()?;
    fields.string()?;
    let node = fields.i32()?;
    Ok(rejection(code).map(|()| node))
}

/// Elects the first replica of a partition as its leader.
pub fn elect_preferred(broker: u16, topic: &str, partition: i32) -> io::Result<Result<(), Refused>> {
    const NOT_NEEDED: i16 = 84;
    let mut request = vec![0];
    request.extend(1_i32.to_be_bytes());
    put_string(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    let answer = ask(broker, ELECT_LEADERS, 1, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(4)?;
    let mut code = fields.i16()?;
    if code == 0 && fields.i32()? > 0 {
        fields.string()?;
        fields.skip(8)?;
        code = fields.i16()?;
    }
    Ok(rejection(if code == NOT_NEEDED { 0 } else { code }))
}

/// Sets the replicas of a partition, in this order.
pub fn reassign(broker: u16, topic: &str, partition: i32, replicas: &[i32]) -> io::Result<Result<(), Refused>> {
    // Compact encoding: a length is written plus one, and every structure ends with a count of tagged fields.
    let length = |count: usize| {
        u8::try_from(count + 1)
            .ok()
            .filter(|byte| *byte < 128)
            .expect("a short field")
    };
    let mut request = vec![0];
    request.extend(10_000_i32.to_be_bytes());
    request.extend([length(1), length(topic.len())]);
    request.extend(topic.as_bytes());
    request.push(length(1));
    request.extend(partition.to_be_bytes());
    request.push(length(replicas.len()));
    replicas.iter().for_each(|id| request.extend(id.to_be_bytes()));
    request.extend([0, 0, 0]);
    let answer = ask(broker, ALTER_PARTITION_REASSIGNMENTS, 0, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(1 + 4)?;
    Ok(rejection(fields.i16()?))
}

/// A rule that allows one operation from any host, in Kafka's numbers.
#[derive(Debug)]
pub struct Acl {
    pub resource: u8,
    pub name: String,
    pub pattern: u8,
    pub principal: String,
    pub operation: u8,
}

impl Acl {
    /// The bytes that create, find or delete it.
    fn encoded(&self) -> Vec<u8> {
        const ALLOW: u8 = 3;
        let mut to = vec![self.resource];
        put_string(&mut to, &self.name);
        to.push(self.pattern);
        put_string(&mut to, &self.principal);
        put_string(&mut to, "*");
        to.extend([self.operation, ALLOW]);
        to
    }
}

pub fn create_acl(broker: u16, acl: &Acl) -> io::Result<Result<(), Refused>> {
    change_acls(broker, CREATE_ACLS, acl)
}

pub fn delete_acl(broker: u16, acl: &Acl) -> io::Result<Result<(), Refused>> {
    change_acls(broker, DELETE_ACLS, acl)
}

/// Both requests carry a list, and both answers begin with the result of its first element.
fn change_acls(broker: u16, api_key: i16, acl: &Acl) -> io::Result<Result<(), Refused>> {
    let request = [&1_i32.to_be_bytes(), acl.encoded().as_slice()].concat();
    let answer = ask(broker, api_key, 1, &request)?;
    let mut fields = Fields(&answer);
    fields.skip(4 + 4)?;
    Ok(rejection(fields.i16()?))
}

/// Whether the broker has this rule.
pub fn has_acl(broker: u16, acl: &Acl) -> io::Result<Result<bool, Refused>> {
    let answer = ask(broker, DESCRIBE_ACLS, 1, &acl.encoded())?;
    let mut fields = Fields(&answer);
    fields.skip(4)?;
    let code = fields.i16()?;
    fields.string()?;
    let count = fields.i32()?;
    Ok(rejection(code).map(|()| count > 0))
}

fn put_string(to: &mut Vec<u8>, text: &str) {
    to.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    to.extend(text.as_bytes());
}

/// Sends one request on a new connection. Returns the answer without its correlation id.
fn ask(port: u16, api_key: i16, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut frame = Vec::new();
    frame.extend(api_key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(0_i32.to_be_bytes());
    put_string(&mut frame, "softstake-tests");
    frame.extend(body);
    write_frame(&mut stream, &frame)?;
    let mut answer = read_frame(&mut stream)?;
    Ok(answer.split_off(4))
}

/// A frame of Kafka's protocol, without its length field.
pub fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    const MOST: usize = 256 << 20;
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length))
        .ok()
        .filter(|length| (4..MOST).contains(length));
    let mut frame = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

pub fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat())
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn i16(&mut self) -> io::Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> io::Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// A string. A null string is read as an empty one.
    fn string(&mut self) -> io::Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        let (text, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        (0..self.i32()?).map(|_| read(self)).collect()
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        self.0 = self.0.get(count..).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}
