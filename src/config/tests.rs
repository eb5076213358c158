use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::config::{Config, Key, Loaded, Origin};

fn load(file: Option<&str>, variables: &[(&str, &str)], flags: &[(Key, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("softstake.toml");
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
    }
    let named = file.map(|_| path.as_path());
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let folder = format!("{}/", folder.path().display());
    Loaded::from(named, variables, &flags).map_err(|error| error.to_string().replace(&folder, ""))
}

#[track_caller]
fn rejected(file: Option<&str>, variables: &[(&str, &str)], flags: &[(Key, &str)], expected: &str) {
    let error = load(file, variables, flags).unwrap_err();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn each_layer_overrides_the_one_below() {
    let file = "bus = \"dir:/file\"\nthreads = 3\ncache_mb = 1_000\n\n[log]\nlevel = \"debug\"\nformat = \"json\"\n";
    let variables = [
        ("SOFTSTAKE_THREADS", "4"),
        ("SOFTSTAKE_LOG__LEVEL", "warn"),
        ("HOME", "/root"),
    ];
    let loaded = load(
        Some(file),
        &variables,
        &[(Key::LogLevel, "error"), (Key::Partitions, "16")],
    )
    .unwrap();
    let shown: Vec<_> = Key::ALL
        .into_iter()
        .map(|key| {
            let origin = match loaded.origin(key) {
                Origin::File(_, line) => format!("line {line}"),
                other => other.to_string(),
            };
            (key.name(), key.shown(&loaded.config).unwrap_or_default(), origin)
        })
        .filter(|(_, _, origin)| origin != "default")
        .collect();
    let expected = [
        ("bus", "dir:/file", "line 1"),
        ("partitions", "16", "--partitions"),
        ("threads", "4", "SOFTSTAKE_THREADS"),
        ("cache_mb", "1000", "line 3"),
        ("log.format", "json", "line 7"),
        ("log.level", "error", "--log-level"),
    ];
    assert_eq!(
        shown,
        expected.map(|(key, value, origin)| (key, value.to_owned(), origin.to_owned()))
    );
    assert_eq!(loaded.config.dedup_days, 7);
    assert!(loaded.config.dir.sync);
}

#[test]
fn without_settings_all_are_defaults() {
    let loaded = load(None, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(
        loaded.state().unwrap_err().to_string(),
        "`state` is not set: give --state, set SOFTSTAKE_STATE, or name a configuration with --config"
    );
}

#[test]
fn an_unknown_setting_is_rejected() {
    rejected(
        Some("bus = \"dir:a\"\n\npartitons = 4\n"),
        &[],
        &[],
        "softstake.toml:3: there is no setting `partitons`; ",
    );
    rejected(
        Some("[dir]\nsink = true\n"),
        &[],
        &[],
        "softstake.toml:2: there is no setting `dir.sink`; ",
    );
    rejected(
        Some("[kafka]\nbroker = \"a\"\n"),
        &[],
        &[],
        "softstake.toml:2: there is no setting `kafka.broker`; ",
    );
    rejected(
        Some("[bus]\npath = \"a\"\n"),
        &[],
        &[],
        "softstake.toml:1: `bus` must be a string in quotes, not a table",
    );
    rejected(
        None,
        &[("SOFTSTAKE_PARTITION", "4")],
        &[],
        "SOFTSTAKE_PARTITION: there is no setting",
    );
    rejected(
        None,
        &[("SOFTSTAKE_LOG_LEVEL", "4")],
        &[],
        "SOFTSTAKE_LOG_LEVEL: there is no setting",
    );
    let linked = load(None, &[("SOFTSTAKE_SERVICE_HOST", "10.0.0.1")], &[]).unwrap_err();
    assert!(linked.contains("enableServiceLinks"), "{linked}");
}

#[test]
fn an_invalid_value_is_rejected_with_its_origin() {
    for (file, expected) in [
        (
            "partitions = 3",
            "softstake.toml:1: `partitions` must be a power of two from 1 to 4096, not 3",
        ),
        (
            "partitions = 8192",
            "softstake.toml:1: `partitions` must be a whole number from 1 to 4096, not 8192",
        ),
        (
            "partitions = \"4\"",
            "softstake.toml:1: `partitions` must be a whole number from 1 to 4096, not a string",
        ),
        (
            "threads = 0",
            "softstake.toml:1: `threads` must be a whole number from 1 to 1024, not 0",
        ),
        (
            "threads = -1",
            "softstake.toml:1: `threads` must be a whole number from 1 to 1024, not -1",
        ),
        (
            "dir.sync = \"yes\"",
            "softstake.toml:1: `dir.sync` must be true or false, not a string",
        ),
        (
            "bus = \"kafka:a:9092\"",
            "softstake.toml:1: `bus` must be `kafka` alone",
        ),
        (
            "bus = \"/a\"",
            "softstake.toml:1: `bus` must be `dir:PATH` or `kafka`, not \"/a\"; did you mean dir:/a?",
        ),
        (
            "kafka.instance = \"a b\"",
            "softstake.toml:1: `kafka.instance` must be 1 to 200 letters",
        ),
        (
            "[kafka.properties]\nacks = 1",
            "softstake.toml:2: kafka property `acks` cannot be set: exactly once",
        ),
        (
            "[kafka.properties]\n\"linger.ms\" = [1]",
            "softstake.toml:2: kafka property `linger.ms` must be a string",
        ),
        ("bus = \"dir:\"", "softstake.toml:1: `bus` must name a directory"),
        ("\nbus = ", "softstake.toml:2: not valid TOML: "),
        (
            "bus = \"dir:a\"\nbus = \"dir:b\"",
            "softstake.toml:2: not valid TOML: duplicate key",
        ),
        ("log.level = \"inffo\"", "softstake.toml:1: `log.level` must be"),
    ] {
        rejected(Some(file), &[], &[], expected);
    }
    rejected(
        None,
        &[("SOFTSTAKE_DIR__SYNC", "1")],
        &[],
        "SOFTSTAKE_DIR__SYNC: `dir.sync` must be true or false, not \"1\"",
    );
    rejected(
        None,
        &[],
        &[(Key::CacheMb, "lots")],
        "--cache-mb: `cache_mb` must be a whole number from 1 to 1048576, not \"lots\"",
    );
    rejected(
        None,
        &[("SOFTSTAKE_CONFIG", "nowhere.toml")],
        &[],
        "cannot read the configuration nowhere.toml: ",
    );
}

#[test]
fn a_dangerous_property_is_rejected_wherever_it_comes_from() {
    let plugins = ["plugin", "library", "paths"].join(".");
    for (line, file) in [
        (3, format!("[kafka.properties]\n\n{plugins} = \"/tmp/a.so\"")),
        (2, format!("[kafka.files]\n\"{plugins}\" = \"/tmp/a\"")),
    ] {
        let expected = format!("softstake.toml:{line}: kafka property `{plugins}` cannot be set: it loads native code");
        rejected(Some(&file), &[], &[], &expected);
    }
    for (file, expected) in [
        (
            "kafka.properties.sasl.kerberos.kinit.cmd = \"touch /tmp/a\"",
            "softstake.toml:1: kafka property `sasl.kerberos.kinit.cmd` cannot be set: the client would run it",
        ),
        (
            "[kafka.properties]\n\"sasl.oauthbearer.token.endpoint.url\" = \"file:///etc/shadow\"",
            "softstake.toml:2: kafka property `sasl.oauthbearer.token.endpoint.url` must begin with https://",
        ),
    ] {
        rejected(Some(file), &[], &[], expected);
    }
    for table in ["PROPERTIES", "FILES"] {
        rejected(
            None,
            &[(
                format!("SOFTSTAKE_KAFKA__{table}__SSL_ENGINE_LOCATION").as_str(),
                "/tmp/a.so",
            )],
            &[],
            &format!(
                "SOFTSTAKE_KAFKA__{table}__SSL_ENGINE_LOCATION: kafka property `ssl.engine.location` cannot be set: it loads native code"
            ),
        );
    }
}

#[test]
fn an_overridden_value_is_checked_as_well() {
    rejected(
        Some("threads = \"two\""),
        &[("SOFTSTAKE_THREADS", "2")],
        &[],
        "softstake.toml:1: `threads`",
    );
}

#[test]
fn properties_of_librdkafka_are_passed_on_and_secrets_are_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("softstake.toml");
    let text = "[kafka.properties]\nsasl.username = \"me\"\n\"linger.ms\" = 5\nsasl.password = \"hush\"\n[kafka.files]\n\"ssl.key.password\" = \"/run/key\"\n";
    std::fs::write(&path, text).unwrap();
    let variables = [
        ("SOFTSTAKE_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS".into(), "6000".into()),
        ("SOFTSTAKE_KAFKA__FILES__SASL_PASSWORD".into(), "/run/password".into()),
    ];
    let loaded = Loaded::from(Some(&path), variables, &[]).unwrap();
    let kafka = &loaded.config.kafka;
    assert_eq!(kafka.properties["sasl.username"], "me");
    assert_eq!(kafka.properties["linger.ms"], "5");
    assert_eq!(kafka.properties["session.timeout.ms"], "6000");
    // A file for a secret, named in a higher layer, replaces the secret itself.
    assert!(!kafka.properties.contains_key("sasl.password"));
    assert_eq!(kafka.files["sasl.password"], Path::new("/run/password"));
    let shown: Vec<(String, String)> = loaded
        .properties()
        .map(|(name, value, _)| (name.to_owned(), value))
        .collect();
    assert!(shown.iter().all(|(_, value)| !value.contains("hush")), "{shown:?}");
    assert!(
        shown.contains(&("ssl.key.password".into(), "(in /run/key)".into())),
        "{shown:?}"
    );
}

/// In the sample, `#name = value` is a setting that is commented out, and `# text` is a comment.
#[test]
fn the_sample_has_every_setting_with_its_default() {
    let sample = include_str!("../../deploy/softstake.toml");
    let is_setting = |line: &str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
    let all: String = sample
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let (as_shipped, all) = (
        load(Some(sample), &[], &[]).unwrap(),
        load(Some(&all), &[], &[]).unwrap(),
    );
    let default = Config::default();
    // Either there is no default, or it depends on the machine.
    let examples = [
        Key::Bus,
        Key::State,
        Key::Partitions,
        Key::Threads,
        Key::KafkaInstance,
        Key::SnapshotsPlace,
        Key::MonitorListen,
        Key::MonitorTokenFile,
        Key::ServeView,
        Key::ServeTlsCertificate,
        Key::ServeTlsKey,
        Key::ServeBehindProxy,
        Key::ServeTokenKeys,
        Key::ServeTokenJwksUrl,
        Key::ServeTokenIssuer,
        Key::ServeTokenAudience,
        Key::ServeAuditLog,
        Key::ServeExecutions,
        Key::ServeProcessors,
        Key::ServeProcessorsTokenFile,
        Key::ServeReconcileResults,
    ];
    for key in Key::ALL {
        assert!(
            matches!(all.origin(key), Origin::File(..)),
            "the sample lacks {}",
            key.name()
        );
        if !examples.contains(&key) {
            assert_eq!(key.shown(&all.config), key.shown(&default), "{}", key.name());
        }
        let is_set = matches!(as_shipped.origin(key), Origin::File(..));
        assert_eq!(is_set, key == Key::State, "{} as shipped", key.name());
    }
    assert!(sample.contains("\n[kafka.properties]\n#\"") && sample.contains("\n[kafka.files]\n#\"sasl.password\""));
}
