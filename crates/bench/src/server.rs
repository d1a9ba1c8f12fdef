//! A server of our own to measure, when none is given.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::BenchError;

/// How long a hub may take to say that it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// The line that it says then begins with this.
const READY: &str = "listening on ";

/// A hub in a process of its own, in memory alone, open to everybody on this machine; it ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    url: String,
    config: PathBuf,
}

/// What differs from a hub's defaults.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Worker threads; 0: one for each core.
    pub workers: usize,
    /// Certificate and key, both as PEM files: the hub serves https then.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Server {
    /// Starts `program serve` on a free port of the loopback address.
    ///
    /// # Errors
    /// It does not start, or does not say in 20 s where it listens.
    pub fn start(program: &Path, options: &ServerOptions) -> Result<Self, BenchError> {
        let failed = |reason: String| BenchError::Server { program: program.display().to_string(), reason };
        let config =
            std::env::temp_dir().join(format!("fanfare-bench-{}-{}.toml", std::process::id(), unique()));
        fs::write(&config, configuration(options))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, _) in std::env::vars_os() {
            // Settings of another hub do not apply to this one.
            if name.to_str().is_some_and(|name| name.starts_with("FANFARE_") && name != "FANFARE_LOG") {
                command.env_remove(name);
            }
        }
        if std::env::var_os("FANFARE_LOG").is_none() {
            command.env("FANFARE_LOG", "warn");
        }
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut server = Self { child, url: String::new(), config };
        let stdout = server.child.stdout.take();
        let (send, receive) = mpsc::channel();
        // Goes on reading, so that the hub never waits for its output to be read; ends with it.
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        while let Ok(line) = receive.recv_timeout(PATIENCE) {
            if let Some(url) = line.split_once(READY).map(|(_, url)| url) {
                server.url = url.split_whitespace().next().unwrap_or_default().to_owned();
                return Ok(server);
            }
        }
        Err(failed("it did not say where it listens".into()))
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
    }
}

/// A number that no other server of this process has.
fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn configuration(options: &ServerOptions) -> String {
    let tls = options.tls.as_ref().map_or(String::new(), |(cert, key)| {
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", cert.display().to_string(), key.display().to_string())
    });
    format!(
        "listen = \"127.0.0.1:0\"\nworkers = {}\n{tls}[limits]\nchannels_per_connection = 1000000\n\
         [namespaces.default]\nanonymous = [\"subscribe\", \"publish\", \"history\"]\n",
        options.workers
    )
}
