//! A broker with authentication and access control.

use std::fmt::Write;

use rdkafka::ClientConfig;

use super::broker::{finish, tool};
use super::slots::Slots;
use super::{Cluster, scram_users, wait_for, wire};

/// The user that may do everything.
pub const ADMIN: &str = "admin";

/// The user that may do only what a test allows.
pub const SOFTSTAKE: &str = "softstake";

pub fn password(user: &str) -> String {
    format!("{user}-secret")
}

/// Operations, with Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
    DescribeConfigs = 10,
}

/// A resource. A name that ends with `*` means all names with that prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
}

impl Resource<'_> {
    fn kind(self) -> u8 {
        match self {
            Self::Topic(_) => 2,
            Self::Group(_) => 3,
            Self::TransactionalId(_) => 5,
        }
    }

    /// The name, and Kafka's number for literal or prefix.
    fn pattern(self) -> (String, u8) {
        const LITERAL: u8 = 3;
        const PREFIXED: u8 = 4;
        let name = match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
        };
        match name.strip_suffix('*') {
            Some(prefix) if !prefix.is_empty() => (prefix.to_owned(), PREFIXED),
            _ => (name.to_owned(), LITERAL),
        }
    }
}

impl Cluster {
    /// One broker whose clients log in by SCRAM-SHA-256 or PLAIN. At first only `ADMIN` may do anything.
    pub fn with_acls() -> Self {
        let mut access = String::from(
            "listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:SASL_PLAINTEXT,PROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             allow.everyone.if.no.acl.found=false\n",
        );
        // Only the broker itself and the tests' own clients are anonymous, on the internal listener.
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
        let scram = scram_users("SCRAM-SHA-256", [ADMIN, SOFTSTAKE]);
        Self::launch(1, Slots::take(1), &access, &scram)
    }

    /// The properties with which a client logs in as a user.
    pub fn credentials(user: &str) -> [(&'static str, String); 4] {
        [
            ("security.protocol", "SASL_PLAINTEXT".to_owned()),
            ("sasl.mechanism", "SCRAM-SHA-256".to_owned()),
            ("sasl.username", user.to_owned()),
            ("sasl.password", password(user)),
        ]
    }

    /// The configuration of a client that logs in as a user.
    pub fn client_as(&self, user: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        for (name, value) in Self::credentials(user) {
            config.set(name, value);
        }
        config
    }

    /// Sets the password of a user. Clients that are connected stay so.
    pub fn set_password(&self, user: &str, password: &str) {
        let config = format!("SCRAM-SHA-256=[password={password}]");
        let bootstrap = self.addresses(|ports| ports.internal);
        let arguments = [
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            user,
            "--add-config",
            &config,
        ];
        finish(tool("kafka.admin.ConfigCommand", &bootstrap, &arguments));
    }

    /// Allows a user an operation. Returns when the broker has the rule.
    pub fn allow(&self, user: &str, resource: Resource<'_>, operation: Operation) {
        self.change(user, resource, operation, true);
    }

    /// Removes such a rule.
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
