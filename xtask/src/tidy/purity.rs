//! The pure crates do no IO and read no clock: sockets, files, threads and time belong to who drives them.
//!
//! Code that only tests compile is left out: a test may ask the clock for the instant it starts from.

use std::path::{Path, PathBuf};

use super::manifest::Manifests;
use super::source::{self, Named};
use super::{Violation, walk};

/// Directories of `crates/` that are sans-IO. `cargo xtask test` also builds them for wasm32.
pub const PURE_CRATES: &[&str] = &["protocol", "websocket", "session", "dialect/socketio"];

/// Paths that begin so do IO, wait, or ask the outside.
const PREFIXES: &[&[&str]] = &[
    &["tokio"],
    &["std", "net"],
    &["std", "fs"],
    &["std", "thread"],
    &["std", "process"],
    &["std", "env"],
    &["std", "os"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
];

/// Paths that end so read a clock.
const CLOCKS: &[[&str; 2]] = &[["Instant", "now"], ["SystemTime", "now"]];

/// Macros that write to the process's streams.
const MACROS: &[&str] = &["print", "println", "eprint", "eprintln"];

/// Packages that bring IO, a clock or randomness. One ending in `*` stands for all that begin so.
const PACKAGES: &[&str] = &[
    "tokio",
    "tokio-*",
    "async-std",
    "async-io",
    "smol",
    "mio",
    "polling",
    "socket2",
    "rustix",
    "libc",
    "nix",
    "hyper",
    "hyper-*",
    "h2",
    "axum",
    "axum-*",
    "reqwest",
    "ureq",
    "rustls",
    "rustls-*",
    "chrono",
    "time",
    "getrandom",
    "rand",
];

pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let manifests = Manifests::read(root)?;
    let mut violations = Vec::new();
    for name in PURE_CRATES {
        let directory = root.join("crates").join(name);
        let manifest = directory.join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        for package in manifests.dependencies(&manifest)? {
            if PACKAGES.iter().any(|pattern| matches(pattern, &package)) {
                let message = format!("`{name}` is pure and must not depend on `{package}`");
                violations.push(Violation::of_file(walk::relative(root, &manifest), message));
            }
        }
        violations.extend(sources(root, &directory.join("src"))?);
    }
    Ok(violations)
}

fn matches(pattern: &str, package: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => package.starts_with(prefix),
        None => pattern == package,
    }
}

fn sources(root: &Path, directory: &Path) -> Result<Vec<Violation>, String> {
    let mut files = Vec::new();
    let mut test_only: Vec<PathBuf> = Vec::new();
    for path in walk::files(directory, &["rs"])? {
        let (tokens, modules) = source::without_tests(&source::tokens(&walk::read(&path)?));
        test_only.extend(modules.iter().map(|module| module_path(&path, module)));
        files.push((path, tokens));
    }
    let mut violations = Vec::new();
    for (path, tokens) in files {
        // `tests.rs` and everything in `tests/` when `tests` is a test-only module.
        if test_only.iter().any(|module| path.with_extension("").starts_with(module)) {
            continue;
        }
        for (line, what) in impurities(&source::paths(&tokens)) {
            let message = format!("{what} in a pure crate: let the caller do it and pass the result in");
            violations.push(Violation { path: walk::relative(root, &path), line, message });
        }
    }
    Ok(violations)
}

/// Where module `name`, declared in `file`, lives; without extension.
fn module_path(file: &Path, name: &str) -> PathBuf {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let directory = if matches!(stem, "lib" | "mod" | "main") {
        file.parent().map(Path::to_path_buf).unwrap_or_default()
    } else {
        file.with_extension("")
    };
    directory.join(name)
}

/// (line, path) of everything impure.
fn impurities(paths: &[Named]) -> Vec<(usize, String)> {
    let alias_of = |name: &str| {
        paths.iter().find(|path| path.alias.as_deref() == Some(name)).and_then(|path| path.segments.last())
    };
    let mut found = Vec::new();
    for path in paths {
        let mut segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        if let Some(original) = segments.first().and_then(|first| alias_of(first)) {
            segments[0] = original;
        }
        let clock_read = path.before == Some('.') && segments == ["elapsed"] && path.after == Some('(');
        let impure = PREFIXES.iter().any(|prefix| segments.starts_with(prefix))
            || CLOCKS.iter().any(|clock| segments.ends_with(clock))
            || (path.after == Some('!') && MACROS.contains(&segments[0]))
            || clock_read;
        // A field or method may be called like a crate.
        if impure && (clock_read || path.before != Some('.')) {
            found.push((path.line, format!("`{}`", path.segments.join("::"))));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\n");
    const MANIFEST: (&str, &str) = ("crates/session/Cargo.toml", "[dependencies]\nbytes = \"1\"\n");

    fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let tree = Fixture::new(&[&[ROOT, MANIFEST], files].concat());
        let violations = check(tree.root()).unwrap();
        violations.into_iter().map(|v| (v.path.to_string_lossy().into_owned(), v.line)).collect()
    }

    fn lines(text: &str) -> Vec<usize> {
        found(&[("crates/session/src/lib.rs", text)]).into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn io_and_clocks_are_refused_at_their_line() {
        for text in [
            "\nfn f() { tokio::spawn(async {}); }",
            "\nuse tokio;",
            "\nuse std::net::TcpStream;",
            "\nuse std::{fmt, net::TcpStream};",
            "\nuse ::std::fs;",
            "\nfn f() { std::thread::sleep(d) }",
            "\nfn f() { let now = std::time::Instant::now(); }",
            "\nfn f() { let now = Instant::now(); }",
            "\nfn f() { let now = SystemTime\n::now(); }",
            "\nfn f(start: Instant) { let d = start.elapsed(); }",
            "\nfn f() { println!(\"x\") }",
        ] {
            let lines = lines(text);
            assert!(lines.len() == 1 && lines[0] >= 2, "{text}: {lines:?}");
        }
    }

    #[test]
    fn an_alias_does_not_hide_a_clock() {
        assert_eq!(lines("use std::time::Instant as Clock;\nfn f() { Clock::now(); }"), [2]);
    }

    #[test]
    fn time_as_an_argument_words_in_comments_and_similar_names_pass() {
        let text = "
            //! Driven by tokio elsewhere; never calls Instant::now().
            use std::time::{Duration, Instant};
            use std::collections::HashMap;
            fn f(now: Instant, s: &Self) -> Instant { let _ = \"std::net\"; s.tokio; now + Duration::ZERO }
            fn elapsed(now: Now) -> u64 { now::elapsed() }
        ";
        assert_eq!(lines(text), [0; 0]);
    }

    #[test]
    fn tests_may_ask_the_clock() {
        let files = [
            (
                "crates/session/src/lib.rs",
                "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\nmod machine;",
            ),
            ("crates/session/src/machine.rs", "#[cfg(test)]\nmod sim;"),
            ("crates/session/src/machine/sim.rs", "fn f() { Instant::now(); }"),
        ];
        assert_eq!(found(&files), []);
    }

    #[test]
    fn a_file_beside_a_test_module_is_still_checked() {
        let files = [
            ("crates/session/src/lib.rs", "#[cfg(test)]\nmod tests;\nmod tests_of_time;"),
            ("crates/session/src/tests_of_time.rs", "fn f() { Instant::now(); }"),
        ];
        assert_eq!(found(&files), [("crates/session/src/tests_of_time.rs".into(), 1)]);
    }

    #[test]
    fn dependencies_that_do_io_are_refused() {
        let text = "[dependencies]\ntokio-util = \"1\"\n[target.'cfg(unix)'.dependencies]\nsocket2 = \"1\"\n";
        let files = [("crates/websocket/Cargo.toml", text)];
        assert_eq!(
            found(&files),
            [("crates/websocket/Cargo.toml".into(), 0), ("crates/websocket/Cargo.toml".into(), 0)]
        );
    }

    #[test]
    fn other_crates_may_do_io() {
        assert_eq!(found(&[("crates/hub/src/lib.rs", "use tokio::net::TcpStream;")]), []);
    }
}
