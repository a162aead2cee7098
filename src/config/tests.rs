//! What may be configured, and how a mistake is told.

use std::ffi::OsString;
use std::path::PathBuf;

use toml::Table;

use super::*;
use crate::cli::Settings;

fn with_file(text: &str, env: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("onair.toml");
    std::fs::write(&path, text).unwrap();
    let settings = Settings { config: Some(path), ..Settings::default() };
    let dir = dir.path().display().to_string();
    load(&settings, vars(env)).map_err(|e| e.to_string().replace(&format!("{dir}/"), ""))
}

fn vars(env: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect::<Vec<_>>().into_iter()
}

fn refusal(text: &str, env: &[(&str, &str)]) -> String {
    with_file(text, env).expect_err("this configuration must be refused")
}

#[test]
fn the_sample_file_says_exactly_the_defaults() {
    let loaded = with_file(SAMPLE, &[]).unwrap();
    assert_eq!(loaded.config, Config::default());

    let sample: Table = SAMPLE.parse().unwrap();
    let defaults = Table::try_from(Config::default()).unwrap();
    assert_eq!(sample, defaults, "every key with a default stands in the sample, and no other");
    for key in [
        "id",
        "media_domain",
        "advertise",
        "secret",
        "secret_file",
        "relay_listen",
        "relay_advertise",
        "url",
        "username",
        "password",
        "password_file",
        "tls_ca_file",
        "confirm",
        "jwks_file",
        "signing_key_file",
        "admin_token_file",
        "brokers",
        "replication",
        "sasl_mechanism",
        "tls_certificate_file",
        "tls_key_file",
    ] {
        assert!(
            SAMPLE.contains(&format!("\n# {key} = ")),
            "{key} has no fixed default and stands as a comment"
        );
    }
}

#[test]
fn no_file_and_no_environment_give_the_defaults() {
    let loaded = load(&Settings::default(), vars(&[("PATH", "/bin"), ("ONAIR_LOG", "debug")])).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.origin("rtmp.listen"), Origin::Default);
}

#[test]
fn later_layers_win_and_each_value_knows_where_it_came_from() {
    let file = "[rtmp]\nidle_timeout = \"30s\"\nlisten = \"127.0.0.1:1\"\n[http]\nlisten = \"127.0.0.1:2\"\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.toml");
    std::fs::write(&path, file).unwrap();
    let settings = Settings {
        config: Some(path.clone()),
        http: Some("127.0.0.1:4".parse().unwrap()),
        data_dir: Some(PathBuf::from("/d")),
        ..Settings::default()
    };
    let env = [("ONAIR__RTMP__LISTEN", "127.0.0.1:3"), ("ONAIR__HTTP__LISTEN", "127.0.0.1:3")];
    let loaded = load(&settings, vars(&env)).unwrap();
    assert_eq!(loaded.config.rtmp.idle_timeout.to_string(), "30s");
    assert_eq!(loaded.config.rtmp.listen.port(), 3);
    assert_eq!(loaded.config.http.listen.port(), 4);
    assert_eq!(loaded.origin("rtmp.idle_timeout"), Origin::File { path, line: 2, column: 1 });
    assert_eq!(loaded.origin("rtmp.listen"), Origin::Env("ONAIR__RTMP__LISTEN".to_owned()));
    assert_eq!(loaded.origin("http.listen"), Origin::Flag("--http"));
    assert_eq!(loaded.origin("node.data_dir"), Origin::Flag("--data-dir"));
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_column() {
    let text = refusal("[rtmp]\nlisten = \"0.0.0.0:1935\"\n  idel_timeout = \"10s\"\n", &[]);
    assert!(text.starts_with("onair.toml:3:3: unknown field `idel_timeout`"), "{text}");
    let text = refusal("[redsi]\nurl = \"x\"\n", &[]);
    assert!(text.starts_with("onair.toml:1:2: unknown field `redsi`"), "{text}");
}

#[test]
fn a_wrong_value_is_refused_where_it_stands() {
    let text = refusal("[rtmp]\nidle_timeout = 10\n", &[]);
    assert!(text.starts_with("onair.toml:2:16: "), "{text}");
    assert!(text.contains("expected a duration with its unit, such as \"10s\""), "{text}");
    let text = refusal("[rtmp]\n\n# too small\nchunk_size = 4\n", &[]);
    assert_eq!(text, "onair.toml:4:1: rtmp.chunk_size must be 128 to 16777215, not 4");
    let text = refusal("[rtmp\n", &[]);
    assert!(text.starts_with("onair.toml:1:"), "{text}");
    let text = refusal("[log]\nlevel = \"info,=[\"\n", &[]);
    assert!(text.starts_with("onair.toml:2:1: log.level"), "{text}");
}

#[test]
fn a_misspelt_log_level_is_refused_and_does_not_silence_the_node() {
    let text = refusal("[log]\nlevel = \"inof\"\n", &[]);
    assert!(text.contains("\"inof\" is not a level (off, error, warn, info, debug, trace)"), "{text}");
}

#[test]
fn a_wrong_variable_is_refused_by_its_name() {
    for (name, value, expected) in [
        ("ONAIR_RTMP__IDLE_TIMEOUT", "10s", "ONAIR__<SECTION>__<KEY>"),
        ("onair__rtmp__idle_timeout", "10s", "ONAIR__<SECTION>__<KEY>"),
        ("ONAIR__RTMP__IDEL_TIMEOUT", "10s", "unknown field `idel_timeout`"),
        ("ONAIR__REDSI__URL", "x", "unknown field `redsi`"),
        ("ONAIR__RTMP__IDLE_TIMEOUT", "10", "expected a duration"),
        ("ONAIR__RTMP__CHUNK_SIZE", "many", "expected u32"),
        ("ONAIR__RTMP__CHUNK_SIZE", "4", "rtmp.chunk_size must be"),
        ("ONAIR__RTMP", "x", "a setting is named"),
        ("ONAIR____X", "x", "a setting is named"),
    ] {
        let text = refusal("", &[(name, value)]);
        assert!(text.starts_with(&format!("environment variable {name}: ")), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_variable_needs_no_quotes_and_may_look_like_a_number() {
    let env =
        [("ONAIR__NODE__ID", "42"), ("ONAIR__RTMP__CHUNK_SIZE", "4096"), ("ONAIR__LOG__FORMAT", "json")];
    let config = with_file("", &env).unwrap().config;
    assert_eq!(config.node.id.unwrap().as_str(), "42");
    assert_eq!(config.rtmp.chunk_size, 4096);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_secret_is_never_part_of_a_complaint_or_of_what_is_shown() {
    let file = "[redis]\nurl = \"redis://anna:hunter2@h\"\npassword = \"hunter2\"\n";
    let shown = crate::show::in_force(&with_file(file, &[]).unwrap());
    assert!(
        shown.contains("url = \"redis://(secret)@h\"") && shown.contains("password = \"(secret)\""),
        "{shown}"
    );
    assert!(!shown.contains("hunter2") && !shown.contains("anna"), "{shown}");
    for (file, place) in [
        ("[redis]\nurl = \"http://hunter2@h\"\n", "onair.toml:2:1: redis.url"),
        ("[redis]\npassword = 4711\n", "onair.toml:2:12: expected a text in quotes"),
        ("[redis]\npassword = [\"hunter2\"]\n", "onair.toml:2:12: invalid type: sequence"),
        ("[redis]\npassword = \"hunter2\"\npassword_file = \"f\"\n", "onair.toml:3:1: redis.password_file"),
    ] {
        let text = refusal(file, &[]);
        assert!(text.starts_with(place), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("4711"), "{text}");
    }
    // Digits in the environment are a text without quotes.
    let env = [("ONAIR__REDIS__PASSWORD", "4711"), ("ONAIR__REDIS__URL", "redis://h")];
    let redis = with_file("", &env).unwrap().config.redis;
    assert_eq!(redis.password.unwrap().expose(), "4711");
    let text = refusal("", &[("ONAIR__REDIS__URL", "redis://u:hunter2@")]);
    assert!(
        text.starts_with("environment variable ONAIR__REDIS__URL: redis.url") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn what_a_cluster_needs_is_checked_before_anything_is_bound() {
    for (file, complaint) in [
        ("[redis]\nconfirm = 2\n", "redis.confirm must be 0 or 1"),
        ("[redis]\nurl = \"redis://h\"\n[cluster]\nname = \"a.b\"\n", "cluster.name"),
        ("[cluster]\nsecret = \"short\"\n", "cluster.secret must have at least 16 bytes"),
        ("[cluster]\nrelay_listen = \"127.0.0.1:0\"\n", "cluster.relay_listen needs cluster.secret"),
        (
            "[cluster]\nnetworks = [\"10.0.0.1/8\"]\n",
            "cluster.networks has \"10.0.0.1/8\": a network looks like",
        ),
        ("[cluster]\nrelay_advertise = \"h\"\n", "cluster.relay_advertise is not host:port"),
        ("[node]\nid = \"onair.manager\"\n", "node.id is the name that Managers go by"),
        ("[node]\nadvertise = \"rtmp://h\"\n", "node.advertise"),
        ("[live_keys]\npublic_keys = [\"abc\"]\n", "live_keys.public_keys"),
    ] {
        assert!(refusal(file, &[]).contains(complaint), "{complaint}");
    }
}

#[test]
fn stores_are_checked_before_anything_is_bound() {
    for (file, complaint) in [
        ("[postgres]\nurl = \"mysql://h/d\"\n", "2:1: postgres.url is not one: "),
        ("[postgres]\nconnections_max = 1\n", "postgres.connections_max must be 2 to 200"),
        ("[postgres]\nstatement_timeout = \"1ms\"\n", "postgres.statement_timeout must be 100ms to 1m"),
        ("[postgres]\npassword = \"p\"\npassword_file = \"f\"\n", "3:1: postgres.password_file and"),
        ("[kafka]\nbrokers = \"kafka://h\"\n", "2:1: kafka.brokers are not host:port"),
        ("[kafka]\ntopic = \"a b\"\n", "2:1: kafka.topic is 1 to 249 characters"),
        ("[kafka]\npartitions = 0\n", "2:1: kafka.partitions must be 1 to 1000"),
        ("[kafka]\nreplication = 0\n", "2:1: kafka.replication must be 1 to 32"),
        ("[kafka]\ntls_ca_file = \"f\"\n", "2:1: kafka.tls_ca_file needs kafka.security_protocol"),
        ("[kafka]\nusername = \"u\"\n", "2:1: kafka.username needs kafka.security_protocol"),
        ("[kafka]\nsecurity_protocol = \"sasl_ssl\"\n", "2:1: kafka.security_protocol with SASL needs"),
        ("[kafka]\nsecurity_protocol = \"tls\"\n", "unknown variant `tls`"),
        (
            "[kafka]\nsecurity_protocol = \"ssl\"\ntls_key_file = \"f\"\n",
            "kafka.tls_certificate_file and kafka.tls_key_file go together",
        ),
    ] {
        let text = refusal(file, &[]);
        assert!(text.contains(complaint), "{text}\n{complaint}");
    }
}

#[test]
fn secrets_of_stores_are_not_shown_and_reach_where_they_belong() {
    let env = [
        ("ONAIR__POSTGRES__URL", "postgres://onair:hunter2@db/onair"),
        ("ONAIR__KAFKA__BROKERS", "a:9092,b:9092"),
        ("ONAIR__KAFKA__SECURITY_PROTOCOL", "sasl_ssl"),
        ("ONAIR__KAFKA__SASL_MECHANISM", "SCRAM-SHA-256"),
        ("ONAIR__KAFKA__USERNAME", "anna"),
        ("ONAIR__KAFKA__PASSWORD", "hunter2"),
    ];
    // In the order of their names, as the environment is read: none is complete before the last.
    let loaded = with_file("", &env).unwrap();
    let shown = crate::show::in_force(&loaded);
    assert!(shown.contains("postgres://(secret)@db/onair") && !shown.contains("hunter2"), "{shown}");
    let settings = loaded.config.kafka.settings().unwrap().unwrap();
    let sasl = settings.security.sasl.as_ref().unwrap();
    assert_eq!((sasl.username.as_str(), sasl.password.as_str()), ("anna", "hunter2"));
    assert!(settings.security.tls.is_some());
    assert!(!format!("{settings:?}").contains("hunter2"));
}

const ISSUER: &str = "[[issuer]]\nname = \"shop\"\niss = \"https://shop.example\"\naud = \"onair\"\n";
const KEYS: &str = "public_keys = [\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"]\n";

#[test]
fn issuers_are_a_list_of_tables_and_shown_as_one() {
    let second = format!("{ISSUER}jwks_url = \"https://shop.example/jwks.json\"\n").replace("shop", "club");
    let loaded = with_file(&format!("{ISSUER}{KEYS}{second}"), &[]).unwrap();
    let [shop, club] = &loaded.config.issuer[..] else { panic!("two of them") };
    assert_eq!((shop.name.as_str(), shop.public_keys.len()), ("shop", 1));
    assert_eq!((club.jwks_refresh, club.lifetime_max), (units::Period::secs(300), units::Period::days(1)));
    let shown = crate::show::in_force(&loaded);
    assert_eq!(with_file(&shown, &[]).unwrap().config, loaded.config, "{shown}");
}

#[test]
fn a_wrong_issuer_is_told_with_its_place() {
    let key = |line: &str| format!("{ISSUER}{KEYS}{line}\n");
    for (file, complaint) in [
        (ISSUER.to_owned(), "onair.toml:2:1: issuer[0].name needs public_keys, jwks_file or jwks_url"),
        (
            key("").replace("shop\"\niss", "Shop\"\niss"),
            "onair.toml:2:1: issuer[0].name is 1 to 16 characters",
        ),
        (key("lifetime_max = \"0s\""), "onair.toml:6:1: issuer[0].lifetime_max"),
        (key("jwks_refresh = \"5s\""), "onair.toml:6:1: issuer[0].jwks_refresh must be 60s to 1d"),
        (key("jwks_url = \"https://h\""), "onair.toml:6:1: issuer[0].jwks_url tells all keys"),
        (
            format!("{ISSUER}jwks_url = \"http://h\"\n"),
            "onair.toml:5:1: issuer[0].jwks_url must begin with https://",
        ),
        (format!("{}{}", key(""), key("")), "issuer[1].name is another issuer's already"),
        (key("").replace("https://shop.example", "onair"), "issuer[0].iss is another issuer's already"),
        (key("speed = 1"), "onair.toml:6:1: unknown field `speed`"),
    ] {
        let text = refusal(&file, &[]);
        assert!(text.contains(complaint), "{text}\n{complaint}");
    }
    let text = refusal(&key(""), &[("ONAIR__ISSUER__NAME", "x")]);
    assert!(text.contains("[[issuer]] is set in the file only"), "{text}");
}

#[test]
fn a_media_domain_is_a_host_with_an_optional_port() {
    for good in ["live.example.com", "live.example.com:1936", "10.0.0.1:1935", "[::1]:1935", "[::1]"] {
        assert!(is_authority(good), "{good}");
    }
    for bad in ["", ":1935", "a/b", "a b", "rtmp://a", "a:b", "a:0", "a:99999", "::1", "[x]", "a@b"] {
        assert!(!is_authority(bad), "{bad}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let settings = Settings { config: Some(PathBuf::from("/nowhere/o.toml")), ..Settings::default() };
    let text = load(&settings, vars(&[])).unwrap_err().to_string();
    assert!(text.starts_with("cannot read the configuration file /nowhere/o.toml: "), "{text}");
}

#[test]
fn defaults_of_the_parts_and_of_the_program_are_one() {
    let config = Config::default();
    assert_eq!(config.ingest(), onair_ingest::IngestConfig::default());

    let node = onair_cluster::NodeId::parse("n").unwrap();
    let manager = onair_manager::ManagerConfig::new(config.http.listen, PathBuf::new(), String::new(), node);
    assert_eq!(config.live_keys.lifetime.0, manager.live_key_ttl);
    assert_eq!(config.live_keys.lifetime_max.0, manager.live_key_ttl_max);
    assert_eq!(config.live_keys.per_room_max, manager.live_keys_per_room_max);
    assert_eq!(config.retention.manager(), manager.retention);
    assert_eq!(config.cluster.name, manager.cluster_name);
}
