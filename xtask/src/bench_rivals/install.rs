//! Other servers are fetched with their own package managers into `target/bench-rivals`. Nothing of theirs enters the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::rows::Who;
use crate::tools;

/// The servers that can be started here.
pub struct Rivals {
    /// Our own binary: hub, load generator and rawlimit.
    pub fanfare: PathBuf,
    /// Where everything is kept.
    pub cache: PathBuf,
    /// Directory with node_modules, or why there is none.
    pub node: Result<PathBuf, String>,
    /// nginx's files unpacked, or why not.
    pub nchan: Result<PathBuf, String>,
    /// The program, or why not.
    pub sockudo: Result<PathBuf, String>,
    /// Certificate and key, or why not.
    pub certificate: Result<(PathBuf, PathBuf), String>,
    /// Names and versions of those that are there.
    pub versions: Vec<(String, String)>,
}

impl Rivals {
    /// Installs who is wanted and not there yet.
    ///
    /// # Errors
    /// The directory cannot be made, or our own binary is not there.
    pub fn install(cache: &Path, fanfare: PathBuf, wanted: impl Fn(&str) -> bool) -> Result<Self, String> {
        fs::create_dir_all(cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        if !fanfare.is_file() {
            return Err(format!("there is no {}", fanfare.display()));
        }
        let unwanted = || Err("not asked for".to_owned());
        let node = [Who::Bun, Who::Ws, Who::SocketIo].iter().any(|who| wanted(who.word()));
        let mut rivals = Self {
            node: if node { install_node(cache) } else { unwanted() },
            nchan: if wanted(Who::Nchan.word()) { install_nchan(cache) } else { unwanted() },
            sockudo: if wanted(Who::Sockudo.word()) { install_sockudo(cache) } else { unwanted() },
            certificate: make_certificate(cache),
            fanfare,
            cache: cache.to_owned(),
            versions: Vec::new(),
        };
        rivals.versions = rivals.read_versions();
        for (name, version) in &rivals.versions {
            println!("{name} {version}");
        }
        for (name, missing) in [
            ("node", rivals.node.as_ref().err()),
            ("nchan", rivals.nchan.as_ref().err()),
            ("sockudo", rivals.sockudo.as_ref().err()),
        ] {
            if let Some(reason) = missing {
                println!("{name}: not run: {reason}");
            }
        }
        Ok(rivals)
    }

    /// Why a server cannot be started; none if it can.
    pub fn missing(&self, who: Who) -> Option<String> {
        match who {
            Who::Rawlimit | Who::Fanfare(_) => None,
            Who::FanfareTls => self.certificate.as_ref().err().cloned(),
            Who::Bun | Who::Ws | Who::SocketIo => self.node.as_ref().err().cloned(),
            Who::Nchan => self.nchan.as_ref().err().cloned(),
            Who::Sockudo => self.sockudo.as_ref().err().cloned(),
        }
    }

    fn read_versions(&self) -> Vec<(String, String)> {
        let mut versions = vec![("Fanfare".to_owned(), said(Command::new(&self.fanfare).arg("--version")))];
        if let Ok(node) = &self.node {
            versions.push(("Node.js".into(), said(Command::new("node").arg("--version"))));
            for package in ["bun", "ws", "socket.io"] {
                versions.push((package.into(), package_version(&node.join("node_modules").join(package))));
            }
        }
        if let Ok(directory) = &self.nchan {
            let text = fs::read_to_string(directory.join("version")).unwrap_or_default();
            versions.push(("libnginx-mod-nchan".into(), text.trim().into()));
        }
        if self.sockudo.is_ok() {
            let list =
                fs::read_to_string(self.cache.join("sockudo").join(".crates.toml")).unwrap_or_default();
            let version = list.lines().find_map(|line| line.strip_prefix("\"sockudo ")?.split(' ').next());
            versions.push(("sockudo".into(), version.unwrap_or("unknown").into()));
        }
        versions
    }
}

/// What a program says, as its last word on the first line.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or("unknown").to_owned()
}

fn package_version(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("package.json")).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    value.get("version").and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

fn install_node(cache: &Path) -> Result<PathBuf, String> {
    let directory = cache.join("node");
    let servers = [
        ("bun.js", include_str!("servers/bun.js")),
        ("ws.js", include_str!("servers/ws.js")),
        ("socketio.js", include_str!("servers/socketio.js")),
    ];
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    for (name, text) in servers {
        fs::write(directory.join(name), text).map_err(|error| error.to_string())?;
    }
    if !directory.join("node_modules").join("socket.io").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "bun", "ws", "socket.io"]);
        tools::run(npm.current_dir(&directory).stdin(Stdio::null()))?;
    }
    Ok(directory)
}

/// Debian's packages are unpacked, not installed: the system stays as it is.
fn install_nchan(cache: &Path) -> Result<PathBuf, String> {
    let directory = cache.join("nchan");
    if !directory.join("usr").is_dir() {
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let mut download = Command::new("apt-get");
        download.args(["download", "nginx", "libnginx-mod-nchan"]);
        tools::run(download.current_dir(&directory).stdin(Stdio::null()))?;
        for package in debs(&directory)? {
            tools::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&directory))?;
        }
    }
    let versions: Vec<String> = debs(&directory)?.iter().filter_map(|path| deb_version(path)).collect();
    fs::write(directory.join("version"), versions.join(", ")).map_err(|error| error.to_string())?;
    Ok(directory)
}

fn debs(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    paths.sort();
    Ok(paths)
}

/// `NAME_VERSION_ARCH.deb`, with `%3a` for the colon of an epoch.
fn deb_version(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let mut parts = name.split('_');
    let (name, version) = (parts.next()?, parts.next()?.replace("%3a", ":"));
    Some(if name == "libnginx-mod-nchan" { version } else { format!("{name} {version}") })
}

fn install_sockudo(cache: &Path) -> Result<PathBuf, String> {
    let directory = cache.join("sockudo");
    let program = directory.join("bin").join("sockudo");
    if !program.is_file() {
        if Command::new("protoc").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("its build needs protoc: `apt-get install protobuf-compiler`".to_owned());
        }
        // Not the workspace's cargo with its settings: the rival is built as its authors say. What was built is there when it has to be tried again.
        let build = directory.join("build");
        let mut install = Command::new("cargo");
        install.args(["install", "sockudo", "--locked", "--root"]).arg(&directory).current_dir(cache);
        tools::run(install.stdin(Stdio::null()).env("CARGO_TARGET_DIR", &build))?;
        let _ = fs::remove_dir_all(&build);
    }
    Ok(program)
}

/// A certificate of our own for 127.0.0.1, which is its own authority.
fn make_certificate(cache: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (certificate, key) = (cache.join("cert.pem"), cache.join("key.pem"));
    if !certificate.is_file() || !key.is_file() {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        tools::run(openssl.stdin(Stdio::null()).stderr(Stdio::null()))?;
    }
    Ok((certificate, key))
}
