//! Who may connect: every mistake in the settings of TLS and authentication is told and ends the start, and the right
//! settings work. What an access control entry forbids is named with the entry that is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::common::kafka::acls::{ADMIN, Operation, Resource, SOFTSTAKE, password};
use crate::common::kafka::deployment::environment;
use crate::common::kafka::tls::{Asked, Certificates, properties};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::{copy, fail, fixture, softstake, succeed};
use crate::judge::judge;

/// A mistake is told within this time, on a machine that is busy with other tests.
const WITHIN: Duration = Duration::from_secs(30);

type Properties = Vec<(String, String)>;

/// The properties with some of them replaced. An empty value removes one.
fn with(properties: &Properties, changes: &[(&str, &str)]) -> Properties {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = properties.iter().filter(|(name, _)| !is_changed(name)).cloned();
    let set = changes.iter().filter(|(_, value)| !value.is_empty());
    let set = set.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    kept.chain(set).collect()
}

/// The program with brokers and properties.
fn program(arguments: &[&str], brokers: &str, properties: &Properties) -> Command {
    let mut command = softstake();
    command
        .args(arguments)
        .args(["--kafka-brokers", brokers])
        .envs(environment(properties));
    command
}

/// What a start says that must end with status 2.
fn refused(arguments: &[&str], brokers: &str, properties: &Properties) -> String {
    let began = Instant::now();
    let said = fail(&mut program(arguments, brokers, properties), 2);
    println!("{:?}: {said}", began.elapsed());
    assert!(began.elapsed() < WITHIN, "after {:?}: {said}", began.elapsed());
    for secret in [password(SOFTSTAKE), "wrong-secret".into()] {
        assert!(!said.contains(&secret), "a password is told: {said}");
    }
    said
}

/// A mistake: its name, the brokers, the properties, and the words that tell it.
struct Mistake {
    name: &'static str,
    brokers: String,
    properties: Properties,
    told: &'static [&'static str],
}

fn check(mistakes: &[Mistake]) {
    for mistake in mistakes {
        let said = refused(&["topics"], &mistake.brokers, &mistake.properties);
        let last = said.lines().last().unwrap_or_default();
        for told in mistake.told {
            assert!(last.contains(told), "{}: no {told:?} in {last}", mistake.name);
        }
        assert!(
            last.contains("no broker accepts this client: "),
            "{}: {last}",
            mistake.name
        );
    }
}

/// Makes mistakes that replace some of the right properties.
fn mistakes(
    right: &Properties,
) -> impl Fn(&'static str, &str, &[(&str, &str)], &'static [&'static str]) -> Mistake + '_ {
    move |name, brokers, changes, told| Mistake {
        name,
        brokers: brokers.to_owned(),
        properties: with(right, changes),
        told,
    }
}

fn wrong_credentials_and_certificates(
    cluster: &Cluster,
    certificates: &Certificates,
    right: &Properties,
) -> Vec<Mistake> {
    let bootstrap = cluster.bootstrap();
    let by_name = bootstrap.replace("127.0.0.1", "localhost");
    let strange = certificates.file("other-ca").display().to_string();
    let mistake = mistakes(right);
    vec![
        mistake(
            "a wrong password",
            &bootstrap,
            &[("sasl.password", "wrong-secret")],
            &[
                "does not accept user softstake with this password",
                "invalid credentials",
                "sasl.password",
            ],
        ),
        mistake(
            "an unknown user",
            &bootstrap,
            &[("sasl.username", "nobody")],
            &["does not accept user nobody", "sasl.username"],
        ),
        mistake(
            "an unknown CA",
            &bootstrap,
            &[("ssl.ca.location", &strange)],
            &[
                "certificate is not accepted: ",
                "certificate verify failed",
                "set ssl.ca.location to the CA",
            ],
        ),
        mistake(
            "another host name",
            &by_name,
            &[],
            &[
                "certificate is not accepted: hostname mismatch",
                "its certificate is for 127.0.0.1: name the broker so",
            ],
        ),
        mistake(
            "an expired certificate",
            &cluster.beside(),
            &[],
            &[
                "certificate is not accepted: certificate has expired",
                "renew the certificate of the broker",
            ],
        ),
        mistake(
            "another mechanism",
            &bootstrap,
            &[("sasl.mechanisms", "SCRAM-SHA-256")],
            &["but SCRAM-SHA-512 (SASL SCRAM-SHA-256 mechanism", "set sasl.mechanisms"],
        ),
    ]
}

fn wrong_protocols(cluster: &Cluster, right: &Properties) -> Vec<Mistake> {
    let bootstrap = cluster.bootstrap();
    let mistake = mistakes(right);
    vec![
        mistake(
            "PLAINTEXT to a TLS listener",
            &bootstrap,
            &[("security.protocol", "PLAINTEXT")],
            &[
                "its listener speaks TLS with SASL authentication (SCRAM-SHA-512), but security.protocol is PLAINTEXT",
                "to SASL_SSL",
            ],
        ),
        mistake(
            "SASL_PLAINTEXT to a TLS listener",
            &bootstrap,
            &[("security.protocol", "SASL_PLAINTEXT")],
            &["speaks TLS", "to SASL_SSL"],
        ),
        mistake(
            "SSL to a listener with SASL",
            &bootstrap,
            &[("security.protocol", "SSL")],
            &[
                "with SASL authentication (SCRAM-SHA-512), but security.protocol is SSL",
                "to SASL_SSL",
            ],
        ),
        mistake(
            "SASL_SSL to an open listener",
            &cluster.open_to_all(),
            &[],
            &[
                "speaks no TLS without SASL authentication, but security.protocol is SASL_SSL",
                "to PLAINTEXT",
            ],
        ),
        mistake(
            "SSL to an open listener",
            &cluster.open_to_all(),
            &[("security.protocol", "SSL")],
            &["speaks no TLS", "to PLAINTEXT"],
        ),
        mistake(
            "SASL_PLAINTEXT to an open listener",
            &cluster.open_to_all(),
            &[("security.protocol", "SASL_PLAINTEXT")],
            &[
                "its listener has no SASL, but security.protocol is SASL_PLAINTEXT",
                "to PLAINTEXT",
            ],
        ),
    ]
}

#[test]
fn a_wrong_password_name_certificate_or_protocol_is_told_and_the_right_ones_work() {
    let folder = tempdir().expect("a folder");
    let certificates = Certificates::new(&folder.path().join("certificates"));
    let cluster = Cluster::with_tls(&certificates, Asked::Password);
    let right = properties(&certificates, SOFTSTAKE);
    let admin = properties(&certificates, ADMIN);
    check(&wrong_credentials_and_certificates(&cluster, &certificates, &right));
    check(&wrong_protocols(&cluster, &right));
    other_commands_and_settings(&cluster, folder.path(), &right, &admin);
    work(&cluster, [admin, right]);
}

fn other_commands_and_settings(cluster: &Cluster, folder: &Path, right: &Properties, admin: &Properties) {
    let bootstrap = cluster.bootstrap();
    // Every command that connects says the same.
    let wrong = with(right, &[("sasl.password", "wrong-secret")]);
    let state = folder.join("state").display().to_string();
    copy(&fixture("example/bus"), &folder.join("bus"));
    let from = folder.join("bus").display().to_string();
    for arguments in [
        &["run", "--bus", "kafka", "--state", &state][..],
        &["reconcile", "--bus", "kafka"],
        &["publish", "--from", &from],
    ] {
        let said = refused(arguments, &bootstrap, &wrong);
        assert!(
            said.contains("does not accept user softstake with this password"),
            "{said}"
        );
    }
    // A property that the client does not know, and a file that is not there, are no brokers' decisions.
    for (name, value, part) in [
        ("sasl.mechanisms", "NONE", "cannot make a Kafka client: "),
        ("ssl.ca.location", "/nowhere/ca.pem", "cannot make a Kafka client: "),
        (
            "no.property",
            "1",
            "kafka property `no.property` is no property of librdkafka",
        ),
    ] {
        let said = refused(&["topics"], &bootstrap, &with(right, &[(name, value)]));
        assert!(said.contains(part), "{name}: {said}");
    }
    // One broker of two accepts.
    let both = format!("{},{bootstrap}", cluster.open_to_all());
    let said = fail(&mut program(&["topics"], &both, admin), 1);
    assert!(!said.contains("no broker accepts"), "{said}");
}

/// A deployment with the right properties.
fn work(cluster: &Cluster, properties: [Properties; 2]) {
    let mut deployment = Deployment::with_properties(cluster, 2, 1, properties.clone());
    deployment.bootstrap = cluster.bootstrap();
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    for operation in [Operation::Read, Operation::Write, Operation::Describe] {
        cluster.allow(SOFTSTAKE, Resource::Topic("*"), operation);
    }
    cluster.allow(SOFTSTAKE, Resource::Group("softstake"), Operation::Read);
    for operation in [Operation::Write, Operation::Describe] {
        cluster.allow(SOFTSTAKE, Resource::TransactionalId("softstake*"), operation);
    }
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    judge(&deployment.place);
    let bootstrap = cluster.bootstrap();
    succeed(&mut program(
        &["reconcile", "--bus", "kafka"],
        &bootstrap,
        &properties[1],
    ));
}

#[test]
fn a_missing_or_wrong_certificate_of_the_client_is_told() {
    let folder = tempdir().expect("a folder");
    let certificates = Certificates::new(folder.path());
    let cluster = Cluster::with_tls(&certificates, Asked::Certificate);
    let path = |path: PathBuf| path.display().to_string();
    let client = |name: &str| -> Properties {
        [
            ("security.protocol", "SSL".to_owned()),
            ("ssl.ca.location", path(certificates.file("ca"))),
            ("ssl.certificate.location", path(certificates.file(name))),
            ("ssl.key.location", path(certificates.key(name))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    };
    let bootstrap = cluster.bootstrap();
    let mistake = |name, properties, told| Mistake {
        name,
        brokers: bootstrap.clone(),
        properties,
        told,
    };
    let none = [("ssl.certificate.location", ""), ("ssl.key.location", "")];
    let refusal = &[
        "does not accept the certificate of this client",
        "alert",
        "ssl.certificate.location",
    ];
    check(&[
        mistake(
            "no certificate",
            with(&client("client"), &none),
            &[
                "asks for a certificate of this client, and none is set",
                "set ssl.certificate.location",
            ],
        ),
        mistake("an expired certificate", client("expired-client"), refusal),
        mistake("a certificate of another CA", client("strange-client"), refusal),
        Mistake {
            name: "PLAINTEXT to a listener with SASL",
            brokers: cluster.beside(),
            properties: Vec::new(),
            told: &[
                "speaks no TLS with SASL authentication (SCRAM-SHA-512), but security.protocol is PLAINTEXT",
                "to SASL_PLAINTEXT",
            ],
        },
    ]);
    succeed(&mut program(&["topics", "--create"], &bootstrap, &client("client")));
}

#[test]
fn a_start_waits_for_brokers_that_are_away_and_says_so() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    cluster.stop(0);
    let mut instance = deployment.start(0);
    let bootstrap = cluster.bootstrap();
    deployment.until("it says what it waits for", || {
        let said = deployment.said(0);
        said.contains(&format!("cannot connect to the brokers at {bootstrap} for "))
            && said.contains(&format!("{bootstrap}: Connect to "))
    });
    std::thread::sleep(Duration::from_secs(5));
    assert!(!instance.ended(), "{}", deployment.said(0));
    cluster.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
}

#[test]
fn a_password_that_is_revoked_under_a_running_instance_is_told() {
    let cluster = Cluster::with_acls();
    let deployment = Deployment::between(&cluster, 2, 1, [ADMIN, ADMIN]);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    cluster.set_password(ADMIN, "another");
    // Connections that are open stay so; all are made anew.
    cluster.stop(0);
    cluster.start(0);
    deployment.until("a task tells the reason", || {
        let said = deployment.said(0);
        let told = |line: &str| {
            line.contains("do not accept this client any more: ")
                && line.contains("Authentication failed during authentication due to invalid credentials")
        };
        said.lines().any(told)
    });
    assert!(!instance.ended(), "{}", deployment.said(0));
    cluster.set_password(ADMIN, &password(ADMIN));
    cluster.produce("exchange.deposits", 0, ["bad"]);
    deployment.until("it works again", || {
        let letters = cluster.read_committed("softstake.dead-letters");
        letters
            .iter()
            .any(|letter| letter.text().contains(r#""payload":"bad""#))
    });
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    assert!(!deployment.said(0).contains(&password(ADMIN)));
}

#[test]
fn what_topics_and_other_commands_may_not_do_is_named_with_the_entry_that_is_missing() {
    let cluster = Cluster::with_acls();
    let user: Properties = Cluster::credentials(SOFTSTAKE)
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let bootstrap = cluster.bootstrap();
    let topics = |arguments: &[&str], status: i32| {
        fail(
            &mut program(&[&["topics"], arguments].concat(), &bootstrap, &user),
            status,
        )
    };
    let told = |said: &str, parts: &[&str]| {
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    };
    const ADD: &str = "grant it with: kafka-acls.sh --add --allow-principal User:… ";
    let said = topics(&[], 1);
    told(
        &said,
        &[
            "not allowed to look up topics exchange.deposits, ",
            "Topic authorization failed",
            ADD,
            "--operation Describe --topic exchange.deposits ",
        ],
    );
    let all = Resource::Topic("*");
    cluster.allow(SOFTSTAKE, all, Operation::Describe);
    let said = topics(&["--create"], 1);
    told(
        &said,
        &[
            "not allowed to create topics ",
            ADD,
            "--operation Create --topic ",
            " --topic softstake.ledger",
        ],
    );
    cluster.allow(SOFTSTAKE, all, Operation::Create);
    let said = topics(&["--create"], 1);
    told(
        &said,
        &[
            "not allowed to read the settings of topics ",
            ADD,
            "--operation DescribeConfigs --topic ",
        ],
    );
    cluster.allow(SOFTSTAKE, all, Operation::DescribeConfigs);
    let shown = succeed(&mut program(&["topics"], &bootstrap, &user));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    told(
        &shown,
        &[
            "offsets.retention.minutes cannot be checked: not allowed to read the settings of broker 0",
            "--operation DescribeConfigs --cluster",
        ],
    );

    let reconcile = || fail(&mut program(&["reconcile", "--bus", "kafka"], &bootstrap, &user), 1);
    let group = "--operation Read --group softstake";
    told(
        &reconcile(),
        &["not allowed to read the committed position of ", ADD, group],
    );

    let folder = tempdir().expect("a folder");
    let log = folder.path().join("log");
    let state = folder.path().join("state").display().to_string();
    let mut run = program(&["run", "--bus", "kafka", "--state", &state], &bootstrap, &user);
    let mut instance = Instance::start(run.stdout(Stdio::null()), log.clone());
    let began = Instant::now();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    while !said().contains("--operation Read --group softstake") && began.elapsed() < WITHIN {
        std::thread::sleep(Duration::from_millis(50));
    }
    told(&said(), &["not allowed to ", ADD, "--operation Read --group softstake"]);
    instance.kill();
    cluster.allow(SOFTSTAKE, Resource::Group("softstake"), Operation::Read);
    cluster.produce("softstake.decisions", 0, ["{}"]);
    told(
        &reconcile(),
        &[
            "not allowed to read softstake.decisions:0: ",
            ADD,
            "--operation Read --operation Describe --topic softstake.decisions",
        ],
    );
}
