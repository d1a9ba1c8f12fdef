//! Starting a server for one measurement, and ending it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::host;
use super::install::Rivals;
use super::rows::Who;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs; it ends with this value.
pub struct Running {
    child: Child,
    /// `http://127.0.0.1:PORT`, or https.
    pub url: String,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's master takes its workers with it when asked, and leaves them behind when killed.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let began = Instant::now();
        while asked.is_ok() && began.elapsed() < Duration::from_secs(3) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs on one core alone, where the machine has several and `taskset` is there.
pub fn pinned(program: &Path, core: Option<usize>) -> Command {
    let pin = core.filter(|_| host::cores() > 1 && Path::new("/usr/bin/taskset").exists());
    match pin {
        Some(core) => {
            let mut command = Command::new("/usr/bin/taskset");
            command.args(["-c", &core.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a server on a free port.
///
/// # Errors
/// It does not start, or does not listen in time.
pub fn start(rivals: &Rivals, who: Who) -> Result<Running, String> {
    let core = (who.cores() == 1).then_some(0);
    let text = |path: &Result<PathBuf, String>| path.clone();
    match who {
        Who::Rawlimit => {
            let mut command = pinned(&rivals.fanfare, core);
            said(command.args(["bench", "rawlimit"]))
        }
        Who::Fanfare(workers) => {
            said(pinned(&rivals.fanfare, core).args(["serve", "--config"]).arg(hub(rivals, workers, false)?))
        }
        Who::FanfareTls => {
            said(pinned(&rivals.fanfare, core).args(["serve", "--config"]).arg(hub(rivals, 1, true)?))
        }
        Who::Bun => {
            let node = text(&rivals.node)?;
            said(pinned(&node.join("node_modules/.bin/bun"), core).arg("bun.js").current_dir(node))
        }
        Who::Ws => said(pinned(Path::new("node"), core).arg("ws.js").current_dir(text(&rivals.node)?)),
        Who::SocketIo => {
            said(pinned(Path::new("node"), core).arg("socketio.js").current_dir(text(&rivals.node)?))
        }
        Who::Nchan => nchan(&text(&rivals.nchan)?, core),
        Who::Sockudo => sockudo(&text(&rivals.sockudo)?, &rivals.cache, core),
    }
}

/// A server that says where it listens.
fn said(command: &mut Command) -> Result<Running, String> {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("FANFARE_")) {
            command.env_remove(name);
        }
    }
    command.env("FANFARE_LOG", "warn");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", crate::tools::show(command)))?;
    let stdout = child.stdout.take();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let mut running = Running { child, url: String::new() };
    while let Ok(line) = receive.recv_timeout(PATIENCE) {
        if let Some((_, url)) = line.split_once("listening on ") {
            running.url = url.split_whitespace().next().unwrap_or_default().to_owned();
            return Ok(running);
        }
    }
    Err(format!("{} does not say where it listens", crate::tools::show(command)))
}

/// The hub as anybody runs it, history, recovery, limits and metrics on; more channels a connection than by default.
fn hub(rivals: &Rivals, workers: u8, tls: bool) -> Result<PathBuf, String> {
    let tls = match (&rivals.certificate, tls) {
        (Ok((certificate, key)), true) => {
            format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display())
        }
        (Err(reason), true) => return Err(reason.clone()),
        (_, false) => String::new(),
    };
    let text = format!(
        "listen = \"127.0.0.1:0\"\nworkers = {workers}\n{tls}[socketio]\nenabled = true\n[limits]\nchannels_per_connection = 1000000\n\
         [namespaces.default]\nanonymous = [\"subscribe\", \"publish\", \"history\"]\n"
    );
    let path =
        rivals.cache.join(format!("fanfare-{workers}{}.toml", if tls.is_empty() { "" } else { "-tls" }));
    fs::write(&path, text).map_err(|error| error.to_string())?;
    Ok(path)
}

fn nchan(directory: &Path, core: Option<usize>) -> Result<Running, String> {
    let port = free_port()?;
    // Debian's build looks for this directory although the configuration names another.
    let _ = fs::create_dir_all("/var/lib/nginx");
    let module = find(directory, "ngx_nchan_module.so").ok_or("no module in the package")?;
    let text = include_str!("servers/nchan.conf")
        .replace("@PORT@", &port.to_string())
        .replace("@PREFIX@", &directory.display().to_string())
        .replace("@MODULE@", &module.display().to_string());
    let config = directory.join("nginx.conf");
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut command = pinned(&directory.join("usr/sbin/nginx"), core);
    command.arg("-p").arg(directory).arg("-c").arg(&config).args(["-e", "stderr"]);
    listening(&mut command, port)
}

fn sockudo(program: &Path, cache: &Path, core: Option<usize>) -> Result<Running, String> {
    let port = free_port()?;
    let text = include_str!("servers/sockudo.json").replace("@PORT@", &port.to_string());
    let config = cache.join("sockudo.json");
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut command = pinned(program, core);
    command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    listening(&mut command, port)
}

/// A server that is there when its port is.
fn listening(command: &mut Command, port: u16) -> Result<Running, String> {
    let child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", crate::tools::show(command)))?;
    let mut running = Running { child, url: format!("http://127.0.0.1:{port}") };
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Ok(Some(status)) = running.child.try_wait() {
            return Err(format!("{} ended with {status}", crate::tools::show(command)));
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(running);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(format!("{} does not listen", crate::tools::show(command)))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| error.to_string())
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}
