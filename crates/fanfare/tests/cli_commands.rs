//! The binary itself: exit codes, what it prints and where.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// An empty directory of its own for each test: the working directory decides whether there is a file.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn fanfare(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    command.current_dir(directory(name)).stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("FANFARE_") {
            command.env_remove(variable);
        }
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ended(output: &Output, code: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out, err)
}

#[test]
fn version_is_one_line() {
    let (out, err) = ended(&fanfare("version").arg("version").output().unwrap(), 0);
    assert_eq!(out, format!("fanfare {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(err, "");
    let (flag, _) = ended(&fanfare("version-flag").arg("--version").output().unwrap(), 0);
    assert_eq!(flag, out);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let (out, err) = ended(&fanfare("usage").arg("surve").output().unwrap(), 2);
    assert_eq!(out, "");
    assert!(err.contains("serve"), "it names the nearest command: {err}");
    let (_, err) = ended(&fanfare("usage-sub").args(["sub", "a b"]).output().unwrap(), 2);
    assert!(err.contains("space"), "{err}");
}

#[test]
fn check_says_what_a_file_means() {
    let mut command = fanfare("check");
    let file =
        format!("[auth]\nhmac_secret = \"{SECRET}\"\n[namespaces.chat]\nanonymous = [\"subscribe\"]\n");
    fs::write(command.get_current_dir().unwrap().join("fanfare.toml"), file).unwrap();
    let (out, err) = ended(&command.arg("check").output().unwrap(), 0);
    assert!(out.starts_with("ok (fanfare.toml)\n"), "{out}");
    assert!(out.contains("chat:*") && out.contains("anonymous  subscribe"), "{out}");
    assert!(!out.contains(SECRET) && !err.contains(SECRET));
}

#[test]
fn check_without_a_file_is_dev_mode() {
    let (out, _) = ended(&fanfare("check-dev").arg("check").output().unwrap(), 0);
    assert!(out.contains("dev mode, this machine only"), "{out}");
}

#[test]
fn check_tells_every_fault_with_its_place() {
    let mut command = fanfare("check-wrong");
    let path = command.get_current_dir().unwrap().join("other.toml");
    fs::write(path, "lisen = \"127.0.0.1:1\"\n\n[limits]\nping = 3\n").unwrap();
    command.env("FANFARE_NAMESPACES__CHAT__PRESENSE", "true");
    let (out, err) = ended(&command.args(["check", "--config", "other.toml"]).output().unwrap(), 1);
    assert_eq!(out, "");
    for part in [
        "other.toml:1: lisen: there is no such setting",
        "did you mean `listen`?",
        "other.toml:4: limits.ping: expected a duration",
        "environment variable FANFARE_NAMESPACES__CHAT__PRESENSE",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let (_, err) =
        ended(&fanfare("check-absent").args(["check", "--config", "nowhere.toml"]).output().unwrap(), 1);
    assert!(err.contains("nowhere.toml cannot be read") && err.contains("remedy"), "{err}");
}

#[test]
fn serve_refuses_what_it_cannot_do_by_name() {
    for (name, args, variable) in [
        ("serve-data", &["--data", "/dev/null/d", "--listen", "127.0.0.1:0"][..], ("FANFARE_LOG", "info")),
        ("serve-data-env", &["serve", "--listen", "127.0.0.1:0"], ("FANFARE_DATA", "/dev/null/d")),
    ] {
        let (out, err) = ended(&fanfare(name).args(args).env(variable.0, variable.1).output().unwrap(), 3);
        assert_eq!(out, "", "nothing listens");
        assert!(err.contains("data directory: /dev/null/d") && err.contains("remedy"), "{err}");
    }
    let (_, err) = ended(&fanfare("serve-open").args(["--listen", "0.0.0.0:0"]).output().unwrap(), 1);
    assert!(err.contains("dev mode gives everyone every right"), "{err}");
    let (_, err) = ended(&fanfare("serve-broker").args(["--broker", "redis://x"]).output().unwrap(), 1);
    assert!(err.contains("no broker \"redis://x\""), "{err}");
}

#[test]
fn token_is_accepted_by_a_hub_with_the_same_secret() {
    let mut command = fanfare("token");
    command.env("FANFARE_AUTH__HMAC_SECRET", SECRET);
    let args = [
        "token",
        "--sub",
        "ada",
        "--grant",
        "chat:*=subscribe,publish",
        "--channels",
        "user:{sub}",
        "--ttl",
        "5m",
    ];
    let (out, err) = ended(&command.args(args).output().unwrap(), 0);
    assert_eq!(err, "");
    let config = format!("[auth]\nhmac_secret = \"{SECRET}\"");
    let auth = fanfare::config::Config::from_toml(&config).unwrap().auth.to_auth();
    let authenticator = fanfare_auth::Authenticator::new(auth).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    let fanfare_auth::Verifying::Ready(verified) = authenticator.verify(out.trim_end(), now) else {
        panic!("nothing has to be fetched")
    };
    let identity = verified.unwrap();
    assert_eq!(identity.user.as_deref(), Some("ada"));
    assert_eq!(identity.channels.len(), 1);
    assert!(identity.allows(fanfare_protocol::Right::Publish, "chat:1", None));
    assert!(!identity.allows(fanfare_protocol::Right::History, "chat:1", None));
    let lives = identity.expires_at.unwrap() - now;
    assert!((295_000..=300_000).contains(&lives), "{lives} ms");
}

#[test]
fn token_without_a_secret_says_where_to_set_one() {
    let (out, err) = ended(&fanfare("token-none").args(["token", "--sub", "ada"]).output().unwrap(), 1);
    assert_eq!(out, "");
    assert!(err.contains("FANFARE_AUTH__HMAC_SECRET"), "{err}");
}

#[test]
fn without_a_hub_clients_say_how_to_start_one() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for (name, args) in [
        ("sub-none", &["sub", "a"][..]),
        ("sub-none-sse", &["sub", "a", "--sse"]),
        ("sub-none-poll", &["sub", "a", "--poll"]),
        ("pub-none", &["pub", "a", "1"]),
    ] {
        let (_, err) = ended(&fanfare(name).args(args).args(["--url", &url]).output().unwrap(), 1);
        assert!(
            err.contains("no connection to") && err.contains("start a hub with `fanfare`"),
            "{args:?}: {err}"
        );
    }
}
