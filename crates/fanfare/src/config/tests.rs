//! What is read, what is refused, and how it is said.
use std::time::Duration;

use fanfare_broker::Policies as _;
use fanfare_protocol::{Ack, ChannelName, Right, Rights};
use fanfare_session::Rules as _;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The errors of a file, as text.
#[track_caller]
fn refused(text: &str) -> String {
    Config::from_toml(text).expect_err("it should be refused").to_string()
}

#[track_caller]
fn refused_variables(pairs: &[(&str, &str)]) -> String {
    Sources::text("").with_variables(variables(pairs)).load().expect_err("it should be refused").to_string()
}

#[test]
fn the_documented_example_is_read() {
    let config = Config::from_toml(
        r#"
listen = "127.0.0.1:9000"
[auth]
hmac_secret = "0123456789abcdef0123456789abcdef"
api_keys = [{ name = "backend", key = "0123456789abcdef" }]
allowed_origins = ["https://app.example"]
[limits]
message_bytes = 65536
tail_bytes = 1048576
memory_bytes = 1073741824
channels_per_connection = 128
[namespaces.default]
[namespaces.chat]
history = { size = 100, ttl = "1h", bytes = "64MB" }
keyed = false
presence = true
slow = "skip"
anonymous = ["subscribe"]
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
"#,
    )
    .unwrap();
    assert_eq!(config.listen.port(), 9000);
    assert!(!config.dev);
    let chat = config.namespace("chat:1").unwrap();
    assert_eq!(chat.history, History { size: 100, ttl: Duration::from_secs(3600), bytes: 64_000_000 });
    assert_eq!((chat.presence, chat.slow), (true, Slow::Skip));
    assert_eq!(chat.anonymous, Rights::NONE.with(Right::Subscribe));
    assert_eq!(chat.authenticated, Rights::ALL);
    assert_eq!(config.namespace("other:1"), Some(&Namespace::built_in(false)));
    assert_eq!(
        config.namespace("chat"),
        Some(&Namespace::built_in(false)),
        "a name without ':' has no namespace"
    );
    assert_eq!(config.origins().collect::<Vec<_>>(), ["https://app.example"]);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "workers = 2\nlisten = \"127.0.0.1:1\"\n[limits]\nping = \"5s\"\npong = \"4s\"";
    let env = variables(&[
        ("FANFARE_LISTEN", "127.0.0.1:2"),
        ("FANFARE_LIMITS__PING", "6s"),
        ("FANFARE_WORKERS", "3"),
    ]);
    let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
    let config = Sources::text(file).with_variables(env).with_flags(flags).load().unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.workers, 3);
    assert_eq!(config.limits.ping, Duration::from_secs(6));
    assert_eq!(config.limits.pong, Duration::from_secs(4));
    assert_eq!(config.limits.drain, Duration::from_secs(10));
}

#[test]
fn variables_reach_every_kind_of_setting() {
    let config = Sources::text("[namespaces.Chat]\npresence = false\n[namespaces.Chat.history]\nsize = 5")
        .with_variables(variables(&[
            ("FANFARE_AUTH__HMAC_SECRET", "12345678901234567890123456789012"),
            ("FANFARE_AUTH__API_KEYS", r#"[{ name = "a", key = "0123456789abcdef" }]"#),
            ("FANFARE_AUTH__AUDIENCE", "one, two"),
            ("FANFARE_NAMESPACES__CHAT__PRESENCE", "1"),
            ("FANFARE_NAMESPACES__CHAT__HISTORY__TTL", "30m"),
            ("FANFARE_NAMESPACES__CHAT__ANONYMOUS", "subscribe,history"),
            ("FANFARE_NAMESPACES__NEWS__HISTORY", "{ size = 7 }"),
            ("FANFARE_LIMITS__TAIL_BYTES", "2MiB"),
            ("FANFARE_DEV", ""),
        ]))
        .load()
        .unwrap();
    // A number in the environment is a text where a text is meant.
    assert_eq!(config.auth.hmac_secret, Some(Secret::new("12345678901234567890123456789012")));
    assert_eq!(config.auth.api_keys.len(), 1);
    assert_eq!(config.auth.audience, ["one", "two"]);
    let chat = &config.namespaces["Chat"];
    assert!(chat.presence, "an upper-case variable finds the table whatever its case");
    assert_eq!((chat.history.size, chat.history.ttl), (5, Duration::from_secs(1800)));
    assert_eq!(chat.anonymous, Rights::NONE.with(Right::Subscribe).with(Right::History));
    assert_eq!(config.namespaces["news"].history.size, 7);
    assert_eq!(config.limits.tail_bytes, 2 << 20);
}

#[test]
fn variables_of_others_are_left_alone() {
    let config = Sources::text("")
        .with_variables(variables(&[
            ("FANFARE_TOKEN", "x"),
            ("FANFARE_LOG", "debug"),
            ("FANFARE_SERVICE_HOST", "10.0.0.1"),
            ("FANFARE_SERVICE_PORT_HTTP", "8000"),
            ("FANFARE_PORT", "tcp://10.0.0.1:8000"),
            ("FANFARE_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("FANFARE_METRICS_SERVICE_HOST", "10.0.0.2"),
            ("OTHER_LISTEN", "x"),
        ]))
        .load();
    assert_eq!(config, Ok(Config::built_in(false)));
}

#[test]
fn unknown_names_are_refused_with_the_nearest_and_the_line() {
    let text = refused("\n\n[namespaces.chat]\nkeyed = true\npresense = true\n");
    assert!(text.contains("fanfare.toml:5: namespaces.chat.presense: there is no such setting"), "{text}");
    assert!(text.contains("did you mean `presence`?"), "{text}");
    let text = refused("[limit]\nping = \"1s\"");
    assert!(text.contains("fanfare.toml:1: limit:") && text.contains("`limits`"), "{text}");
    let text = refused("[namespaces.chat]\nhistory = { sise = 3 }");
    assert!(text.contains("namespaces.chat.history.sise") && text.contains("`size`"), "{text}");
    let text = refused("[[auth.api_keys]]\nname = \"b\"\nkey = \"0123456789abcdef\"\nright = 1");
    assert!(text.contains("fanfare.toml:4: auth.api_keys[0].right"), "{text}");
    let text = refused_variables(&[("FANFARE_LIMITS__PIGN", "1s")]);
    assert!(text.contains("environment variable FANFARE_LIMITS__PIGN: limits.pign"), "{text}");
    assert!(text.contains("did you mean `ping`?"), "{text}");
    let text = refused("zzzzzz = 1");
    assert!(text.contains("one of listen, data, broker"), "{text}");
}

#[test]
fn wrong_types_say_what_is_expected() {
    for (file, parts) in [
        ("listen = 8000", ["fanfare.toml:1: listen", "expected an address and a port", "found 8000"]),
        ("listen = \":8000\"", ["listen", "found \":8000\"", "0.0.0.0:8000"]),
        ("workers = \"many\"", ["workers", "a whole number from 0", "found \"many\""]),
        ("workers = -1", ["workers", "a whole number from 0", "found -1"]),
        ("dev = \"yes\"", ["dev", "true or false", "found \"yes\""]),
        (
            "[limits]\nping = 25",
            ["fanfare.toml:2: limits.ping", "found 25 without a unit", "\"25s\" or \"25ms\""],
        ),
        ("[limits]\nping = \"soon\"", ["limits.ping", "a duration such as", "found \"soon\""]),
        ("[limits]\nping = \"1ms\"", ["limits.ping", "at least 1s", "found \"1ms\""]),
        ("[limits]\ntail_bytes = \"1 MBit\"", ["limits.tail_bytes", "a size such as", "found \"1 MBit\""]),
        ("[limits]\ntail_bytes = 1.5", ["limits.tail_bytes", "a size such as", "found 1.5"]),
        ("limits = 3", ["limits", "expected a table", "found 3"]),
        ("namespaces = []", ["namespaces", "expected a table", "found a list"]),
        ("[auth]\napi_keys = 3", ["auth.api_keys", "a list of tables", "[[auth.api_keys]]"]),
        (
            "[namespaces.a]\nslow = \"closed\"",
            ["slow", "\"close\", \"conflate\" or \"skip\"", "did you mean \"close\"?"],
        ),
        ("[namespaces.a]\nanonymous = [\"subscibe\"]", ["anonymous", "found \"subscibe\"", "\"subscribe\"?"]),
        ("[[auth.keys]]\nalg = \"RS257\"", ["auth.keys[0].alg", "\"HS256\", ", "did you mean \"RS256\"?"]),
        ("[namespaces.a]\nack = 1", ["ack", "\"memory\" or \"stored\"", "found 1"]),
    ] {
        let text = refused(file);
        for part in parts {
            assert!(text.contains(part), "{file:?} should say {part:?}: {text}");
        }
    }
}

#[test]
fn text_that_is_not_toml_names_its_line() {
    let text = refused("listen = \"a\"\nworkers = = 3\n");
    assert!(text.starts_with("fanfare.toml:2: "), "{text}");
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let text = refused("lisen = 1\nworkers = \"x\"\n[limits]\npung = \"1s\"");
    for path in ["lisen", "workers", "limits.pung"] {
        assert!(text.contains(path), "{path}: {text}");
    }
}

#[test]
fn rules_between_settings_are_kept() {
    for (file, parts) in [
        ("broker = \"redis://u:pw@h\"", ["broker", "redis://...@h", "remove `broker`"]),
        ("insecure = true", ["insecure", "only together with `dev`", "--dev --insecure"]),
        ("dev = true\nlisten = \"0.0.0.0:1\"", ["fanfare.toml:2: listen", "every right", "127.0.0.1"]),
        ("[tls]\ncert = \"/nowhere\"", ["tls.cert", "without its key", "cannot be read"]),
        ("allowed_origins = [\"app.example\"]", ["allowed_origins", "not an origin", "https://app.example"]),
        (
            "[auth]\nallowed_origins = [\"https://a/\"]",
            ["auth.allowed_origins", "\"https://a/\"", "scheme, host"],
        ),
        ("[limits]\nmessage_bytes = \"2MiB\"", ["limits.message_bytes", "limits.frame_bytes", "raise"]),
        ("[limits]\ntail_bytes = \"2GiB\"", ["limits.tail_bytes", "limits.memory_bytes", "raise"]),
        ("[auth]\nhmac_secret = \"short\"", ["auth.hmac_secret", "5 bytes", "openssl rand"]),
        (
            "[auth]\nhmac_secret = \"-----BEGIN PUBLIC KEY-----\"",
            ["auth.hmac_secret", "PEM", "[[auth.keys]]"],
        ),
        (
            "[[auth.api_keys]]\nkey = \"0123456789abcdef\"",
            ["auth.api_keys[0]", "no `name`", "fanfare.toml:1"],
        ),
        ("[[auth.api_keys]]\nname = \"a\"\nkey = \"b\"", ["auth.api_keys[0]", "less than 16", "openssl"]),
        ("[[auth.keys]]\nkid = \"a\"", ["auth.keys[0]", "`key` or `file`", "fanfare.toml:1"]),
        (
            "[auth]\njwks_url = \"nowhere\"",
            ["fanfare.toml:2: auth.jwks_url", "https://login.example", "remedy"],
        ),
        ("[[auth.keys]]\nkey = \"abc\"\nalg = \"RS256\"", ["auth.keys[0]", "fanfare.toml:1", "remedy"]),
        ("[namespaces.\"a:b\"]", ["namespaces.a:b", "cannot be a namespace", "before the first ':'"]),
        ("[namespaces.\"$a\"]", ["namespaces.$a", "cannot be a namespace", "fanfare.toml:1"]),
        ("[namespaces.a]\nack = \"stored\"", ["fanfare.toml:2: namespaces.a.ack", "no `data`", "set `data`"]),
    ] {
        let text = refused(file);
        for part in parts {
            assert!(text.contains(part), "{file:?} should say {part:?}: {text}");
        }
    }
}

#[test]
fn a_short_secret_is_never_printed() {
    let text =
        refused("[auth]\nhmac_secret = \"hunter2\"\n[[auth.api_keys]]\nname = \"a\"\nkey = \"hunter3\"");
    assert!(!text.contains("hunter"), "{text}");
    let config = Config::from_toml(&format!("[auth]\nhmac_secret = \"{SECRET}\"")).unwrap();
    assert!(!format!("{config:?}{}", config.summary()).contains(SECRET));
}

#[test]
fn without_a_file_it_is_dev_mode_on_this_machine_only() {
    let load = |flags: Flags, env: &[(&str, &str)]| {
        Sources::default().with_flags(flags).with_variables(variables(env)).load()
    };
    let config = load(Flags::default(), &[]).unwrap();
    assert!(config.dev && config.loopback_only() && config.listen.ip().is_loopback());
    let any = config.namespace("anything:at-all").unwrap();
    assert_eq!((any.anonymous, any.authenticated), (Rights::ALL, Rights::ALL));
    assert_eq!((any.keyed, any.presence, any.history.size, any.ack), (true, true, 1000, Some(Ack::Memory)));

    let everywhere = Flags { listen: Some("0.0.0.0:8000".into()), ..Flags::default() };
    let error = load(everywhere.clone(), &[]).unwrap_err().to_string();
    assert!(error.contains("--listen: listen: dev mode gives everyone every right"), "{error}");
    let error = load(Flags { insecure: true, ..everywhere.clone() }, &[]).unwrap_err().to_string();
    assert!(error.contains("insecure"), "implied dev mode is not enough: {error}");
    let config = load(Flags { insecure: true, dev: true, ..everywhere }, &[]).unwrap();
    assert!(config.dev && !config.loopback_only());

    let closed =
        load(Flags::default(), &[("FANFARE_DEV", "false"), ("FANFARE_LISTEN", "0.0.0.0:1")]).unwrap();
    assert_eq!(closed.namespace("a").unwrap().anonymous, Rights::NONE);
}

#[test]
fn dev_mode_with_a_file_opens_its_namespaces_and_keeps_their_retention() {
    let config =
        Config::from_toml("dev = true\n[namespaces.a]\nhistory = { size = 3 }\nkeyed = false").unwrap();
    let a = config.namespace("a:1").unwrap();
    assert_eq!((a.anonymous, a.history.size, a.keyed, a.presence), (Rights::ALL, 3, false, true));
}

#[test]
fn reload_tells_what_changed_and_hides_secrets() {
    let old = format!("[auth]\nhmac_secret = \"{SECRET}\"\n[limits]\nping = \"20s\"\n[namespaces.gone]");
    let new = format!(
        "listen = \"127.0.0.1:9\"\n[auth]\nhmac_secret = \"x{SECRET}\"\n[limits]\nping = \"10s\"\n[namespaces.chat]\nanonymous = [\"subscribe\"]"
    );
    let live = Live::new(Config::from_toml(&old).unwrap());
    let mut watcher = live.changes();
    watcher.mark_unchanged();
    let changes = live.reload(Config::from_toml(&new).unwrap());
    let lines: Vec<_> = changes.iter().map(Change::to_string).collect();
    let text = lines.join("\n");
    assert!(text.contains("limits.ping: \"20s\" -> \"10s\""), "{text}");
    assert!(text.contains("auth.hmac_secret: changed"), "{text}");
    assert!(text.contains("listen: \"127.0.0.1:8000\" -> \"127.0.0.1:9\" (needs a restart)"), "{text}");
    assert!(text.contains("namespaces.chat.anonymous: (none) -> [\"subscribe\"]"), "{text}");
    assert!(text.contains("namespaces.gone.keyed: false -> (none)"), "{text}");
    assert!(!text.contains(SECRET), "{text}");

    assert!(watcher.has_changed().unwrap());
    assert_eq!(live.config().listen.port(), 8000, "what needs a restart stays");
    assert_eq!(live.limits().ping_ms, 10_000);
    assert_eq!(live.anonymous("chat:1"), Rights::NONE.with(Right::Subscribe));

    let again = live.reload(Config::from_toml(&new).unwrap());
    assert_eq!(again.len(), 1, "only what still needs a restart: {again:?}");
}

#[test]
fn reload_never_switches_dev_mode() {
    let live = Live::new(Config::built_in(false));
    let changes = live.reload(Config::built_in(true));
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].path.as_str(), changes[0].needs_restart), ("dev", true));
    assert_eq!(live.anonymous("a"), Rights::NONE);
    assert!(!live.config().dev);
}

#[test]
fn live_answers_for_broker_and_session() {
    let live = Live::new(
        Config::from_toml("[namespaces.k]\nkeyed = true\nhistory = { size = 2, ttl = \"1s\", bytes = 10 }")
            .unwrap(),
    );
    let policy = live.policy(&ChannelName::parse("k:1").unwrap());
    assert_eq!(
        (policy.size, policy.ttl_ms, policy.bytes, policy.keyed, policy.ack),
        (2, 1000, 10, true, Ack::Memory)
    );
    let hidden = live.policy(&ChannelName::internal("presence", "k:1"));
    assert_eq!((hidden.size, hidden.keyed, hidden.ttl_ms), (0, true, 3_600_000));
    assert!(live.keyed("k:1") && !live.keyed("other") && !live.presence("k:1"));
    assert_eq!(live.limits(), fanfare_session::Limits::default(), "both crates have the same defaults");
}

#[test]
fn with_a_directory_messages_are_stored_unless_a_namespace_says_otherwise() {
    let text = "data = \"d\"\n[namespaces.s]\nack = \"stored\"\n[namespaces.m]\nack = \"memory\"";
    let config = Config::from_toml(text).unwrap();
    assert_eq!(config.data.as_deref(), Some(std::path::Path::new("d")));
    let summary = config.summary();
    assert!(summary.contains("messages     in d;") && summary.contains("once it is on disk"), "{summary}");
    let live = Live::new(config);
    let ack = |channel: &str| live.policy(&ChannelName::parse(channel).unwrap()).ack;
    assert_eq!([ack("other"), ack("s:1"), ack("m:1")], [Ack::Stored, Ack::Stored, Ack::Memory]);
    // Dev mode has a directory of its own, and asks the disk only where it is told to.
    let dev = Config::from_toml("dev = true\n[namespaces.s]\nack = \"stored\"").unwrap();
    let acks = ["other", "s:1"].map(|channel| dev.namespace(channel).unwrap().ack);
    assert_eq!(acks, [Some(Ack::Memory), Some(Ack::Stored)]);
    let given = Sources::default().with_flags(Flags { data: Some("d".into()), ..Flags::default() });
    let given = given.load().unwrap();
    assert!(given.dev && given.data.is_some());
    assert_eq!(given.namespace("any").unwrap().ack, Some(Ack::Memory));
}

#[test]
fn warnings_name_what_is_probably_not_meant() {
    let text = "[namespaces.a]\nauthenticated = [\"enter\"]\nslow = \"conflate\"";
    let warnings = check::warnings(&Config::from_toml(text).unwrap()).join("\n");
    for part in ["namespaces.a grants presence", "keyed = false", "nobody may do anything"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert_eq!(check::warnings(&Config::built_in(true)), Vec::<String>::new());
}

#[test]
fn the_summary_says_who_may_do_what() {
    let text = format!(
        "[auth]\nhmac_secret = \"{SECRET}\"\n[namespaces.chat]\nanonymous = [\"subscribe\"]\nauthenticated = [\"publish\"]\npresence = true"
    );
    let summary = Config::from_toml(&text).unwrap().summary();
    for part in [
        "http://127.0.0.1:8000",
        "chat:*",
        "anonymous  subscribe",
        "subscribe, publish",
        "1000 messages, 24h, 64MB, presence",
    ] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}
