//! A broker that asks who a client is, and lets it do what it was allowed to and no more.

use std::fmt::Write;

use rdkafka::ClientConfig;

use super::{Cluster, wait_for, wire};

/// May do everything.
pub const ADMIN: &str = "admin";

/// May do what a test allows.
pub const SOFTSTAKE: &str = "softstake";

pub fn password(user: &str) -> String {
    format!("{user}-secret")
}

/// What can be allowed on something. The numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
}

/// What something can be allowed on. A name that ends with `*` stands for all that begin with what precedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Cluster,
    TransactionalId(&'a str),
}

impl Resource<'_> {
    fn kind(self) -> u8 {
        match self {
            Self::Topic(_) => 2,
            Self::Group(_) => 3,
            Self::Cluster => 4,
            Self::TransactionalId(_) => 5,
        }
    }

    /// The name, and how Kafka takes it.
    fn pattern(self) -> (String, u8) {
        const LITERAL: u8 = 3;
        const PREFIXED: u8 = 4;
        let name = match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
            Self::Cluster => "kafka-cluster",
        };
        match name.strip_suffix('*') {
            Some(prefix) if !prefix.is_empty() => (prefix.to_owned(), PREFIXED),
            _ => (name.to_owned(), LITERAL),
        }
    }
}

impl Cluster {
    /// One broker whose clients log in, by SCRAM-SHA-256 or PLAIN, and are not allowed anything at first but for `ADMIN`.
    pub fn with_acls() -> Self {
        let mut access = String::from(
            "listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:SASL_PLAINTEXT,PROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             allow.everyone.if.no.acl.found=false\n",
        );
        // Nobody is anonymous on the listeners for clients: these are the broker itself and these tests' own look at things.
        writeln!(access, "super.users=User:{ADMIN};User:ANONYMOUS").expect("a string takes it");
        for listener in ["client", "proxied"] {
            let module = "org.apache.kafka.common.security";
            let prefix = format!("listener.name.{listener}");
            let users = [ADMIN, SOFTSTAKE].map(|user| format!("user_{user}=\"{}\"", password(user)));
            let users = users.join(" ");
            writeln!(
                access,
                "{prefix}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required {users};"
            )
            .expect("a string takes it");
            writeln!(
                access,
                "{prefix}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;"
            )
            .expect("a string takes it");
        }
        let scram = [ADMIN, SOFTSTAKE].map(|user| {
            let password = password(user);
            format!("--add-scram=SCRAM-SHA-256=[name={user},password={password}]")
        });
        Self::launch(1, &access, &scram)
    }

    /// What a client sets to log in as a user.
    pub fn credentials(user: &str) -> [(&'static str, String); 4] {
        [
            ("security.protocol", "SASL_PLAINTEXT".to_owned()),
            ("sasl.mechanism", "SCRAM-SHA-256".to_owned()),
            ("sasl.username", user.to_owned()),
            ("sasl.password", password(user)),
        ]
    }

    /// A client that logs in as a user.
    pub fn client_as(&self, user: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        for (name, value) in Self::credentials(user) {
            config.set(name, value);
        }
        config
    }

    /// Allows a user to do something; returns once the broker goes by it.
    pub fn allow(&self, user: &str, resource: Resource<'_>, operation: Operation) {
        self.change(user, resource, operation, true);
    }

    /// Takes back what was allowed.
    pub fn disallow(&self, user: &str, resource: Resource<'_>, operation: Operation) {
        self.change(user, resource, operation, false);
    }

    fn change(&self, user: &str, resource: Resource<'_>, operation: Operation, allowed: bool) {
        let (name, pattern) = resource.pattern();
        let acl = wire::Acl {
            resource: resource.kind(),
            name,
            pattern,
            principal: format!("User:{user}"),
            operation: operation as u8,
        };
        let what = format!("{operation:?} of {resource:?} by {user}, {allowed}");
        self.ask(&what, |broker| {
            if allowed {
                wire::create_acl(broker, &acl)
            } else {
                wire::delete_acl(broker, &acl)
            }
        });
        wait_for(&what, || {
            (self.ask(&what, |broker| wire::has_acl(broker, &acl)) == allowed).then_some(())
        });
    }
}
