//! A `fanfare` of one's own: built once, started on a free port, ended with the test.
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::net::TcpStream;

use crate::{config, http::Request, wait::PATIENCE};

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Ends the server when this process ends in whatever way: statics are not dropped.
    watchdog: (Child, Option<ChildStdin>),
    address: SocketAddr,
    home: PathBuf,
}

impl Server {
    /// Starts with a configuration file of this text, on a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(config: &str) -> Self {
        Self::start_at(config, "127.0.0.1:0".parse().unwrap())
    }

    /// Starts at an address, as after a restart.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(config: &str, listen: SocketAddr) -> Self {
        let home = fresh_home();
        std::fs::write(home.join("fanfare.toml"), config).unwrap();
        Self::run(listen, home)
    }

    /// Starts in dev mode, as without any configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub fn dev() -> Self {
        Self::run("127.0.0.1:0".parse().unwrap(), fresh_home())
    }

    /// Starts it again after it was ended: where it listened, with the files that it left.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let again = Self::run(self.address, self.home.clone());
        let mut ended = std::mem::replace(self, again);
        // The files are the new one's.
        ended.home = PathBuf::new();
    }

    /// `fanfare` in a server's home, without this process's `FANFARE_*` variables.
    pub fn command(home: &Path) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FANFARE_"))
        {
            command.env_remove(name);
        }
        command.current_dir(home).env("TMPDIR", home).stdin(Stdio::null());
        command
    }

    fn run(listen: SocketAddr, home: PathBuf) -> Self {
        let mut command = Self::command(&home);
        command.args(["--listen", &listen.to_string()]);
        let log = std::fs::File::create(home.join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let watchdog = watch(child.id());
        let stdout = child.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        // It goes on reading, so that the server never waits for somebody to read.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on http://") {
                    let _ = tell.send(url.trim_end_matches('/').to_owned());
                }
            }
        });
        let address = told.recv_timeout(PATIENCE);
        let Ok(address) = address else {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            let _ = child.kill();
            panic!("the server did not say that it listens; its log:\n{log}");
        };
        Self { child, watchdog, address: address.parse().unwrap(), home }
    }

    /// The server that the tests of a binary share: the standard configuration.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(config::STANDARD))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it does not accept.
    pub async fn connect(&self) -> TcpStream {
        let stream = crate::wait::within(TcpStream::connect(self.address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A connection that takes little before somebody reads it.
    ///
    /// # Panics
    /// When it does not accept.
    pub async fn connect_small(&self) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        crate::wait::within(socket.connect(self.address)).await.unwrap()
    }

    /// A request to it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// A GET.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A POST.
    pub fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// Publishes with the API key (which every namespace lets do so); the answer's JSON.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn publish(&self, channel: &str, message: serde_json::Value) -> serde_json::Value {
        let request = self.post(&format!("/v1/channels/{channel}/messages")).bearer(config::API_KEY);
        let reply = request.json(&message).send().await;
        assert_eq!(reply.status, 200, "publish to {channel}: {}", reply.text());
        reply.json()
    }

    /// Publishes numbers as data; the positions.
    ///
    /// # Panics
    /// When one is refused.
    pub async fn publish_numbers(
        &self,
        channel: &str,
        numbers: std::ops::RangeInclusive<u64>,
    ) -> Vec<String> {
        let mut positions = Vec::new();
        for number in numbers {
            let answer = self.publish(channel, serde_json::json!({ "data": number })).await;
            positions.push(crate::http::position(&answer));
        }
        positions
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When there is no `kill`.
    pub fn terminate(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself; none when it has not after so long.
    ///
    /// # Panics
    /// When the system does not say.
    pub async fn exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            // A child's end can only be asked for.
            match self.child.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if tokio::time::Instant::now() > until => return None,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Its working and temporary directory, where its configuration is; gone with it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.watchdog.0.kill();
        let _ = self.watchdog.0.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.home.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.home);
        }
    }
}

/// A process that kills another when its standard input ends.
fn watch(pid: u32) -> (Child, Option<ChildStdin>) {
    let mut watchdog = Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$0\" 2>/dev/null", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = watchdog.stdin.take();
    (watchdog, stdin)
}

fn fresh_home() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let home = std::env::temp_dir().join(format!("fanfare-tests-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    home
}

/// The `fanfare` binary beside this test, built now if it is not up to date. `FANFARE_BIN` names another.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    // A build that fails is not tried again for each test.
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| match std::env::var_os("FANFARE_BIN") {
        Some(path) => Some(path.into()),
        None => build(),
    });
    binary.as_deref().expect("fanfare does not build")
}

fn build() -> Option<PathBuf> {
    // target/PROFILE/deps/THIS
    let this = std::env::current_exe().unwrap();
    let profile_dir = this.parent().and_then(Path::parent).unwrap();
    let target_dir = profile_dir.parent().unwrap();
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "-p", "fanfare", "--bin", "fanfare", "--target-dir"]).arg(target_dir);
    if profile_dir.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    // Cargo tells tests about their package; build scripts (ring's) that watch these variables would run again each time.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    built.success().then(|| profile_dir.join(format!("fanfare{}", std::env::consts::EXE_SUFFIX)))
}
