//! `cargo xtask tidy`: the rules of this repository that rustc and clippy do not know.

mod arrows;
mod generated;
mod length;
mod manifest;
mod purity;
mod source;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};

pub use purity::PURE_CRATES;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file, relative to the workspace root.
    pub path: PathBuf,
    /// 1-based; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Violation {
    fn of_file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.path.display(), self.message),
        }
    }
}

/// Checks every rule and prints what breaks them.
///
/// # Errors
/// The number of violations, or a file that could not be read.
pub fn run(root: &Path) -> Result<(), String> {
    let mut violations = Vec::new();
    violations.extend(purity::check(root)?);
    violations.extend(arrows::check(root)?);
    violations.extend(length::check(root)?);
    violations.extend(generated::check(crate::generate::command(root))?);
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: no violations");
            Ok(())
        }
        1 => Err("tidy: 1 violation".into()),
        count => Err(format!("tidy: {count} violations")),
    }
}

#[cfg(test)]
mod fixture {
    //! A throw-away workspace for the rules' tests.

    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    pub struct Fixture(PathBuf);

    impl Fixture {
        /// A directory holding `files` (path, text), removed on drop.
        pub fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("xtask-tidy-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let fixture = Self(std::env::temp_dir().join(name));
            for (path, text) in files {
                let path = fixture.0.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            fixture
        }

        pub fn root(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = []\n");

    #[test]
    fn an_orderly_tree_passes() {
        let tree = Fixture::new(&[
            ROOT,
            ("crates/protocol/Cargo.toml", "[package]\nname = \"fanfare-protocol\"\n"),
            ("crates/protocol/src/lib.rs", "pub fn f() {}\n"),
        ]);
        assert_eq!(super::run(tree.root()), Ok(()));
    }

    #[test]
    fn every_violation_is_counted() {
        let tree = Fixture::new(&[
            ROOT,
            (
                "crates/protocol/Cargo.toml",
                "[package]\nname = \"fanfare-protocol\"\n[dependencies]\nfanfare-hub = \"1\"\n",
            ),
            ("crates/protocol/src/lib.rs", "use std::net::TcpStream;\n"),
        ]);
        assert_eq!(super::run(tree.root()), Err("tidy: 2 violations".into()));
    }
}
