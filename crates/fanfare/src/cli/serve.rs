//! `fanfare serve`: logging, worker threads, signals; the hub itself is the server's.
use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Settings, exit::Failure, output};
use crate::{
    ServeError, StartError,
    config::{Config, Live, Sources, check::warnings},
};

/// Runs the hub until a signal stops it.
///
/// # Errors
/// The configuration is wrong, the address cannot be listened on, or the data directory cannot be used.
pub fn run(settings: Settings) -> Result<(), Failure> {
    let sources = Sources::of_process(settings.config, settings.flags);
    let config = sources.load()?;
    start_logging();
    if config.dev {
        output::note(&dev_banner(&config));
    }
    for warning in warnings(&config).into_iter().chain(config.auth.to_auth().warnings()) {
        tracing::warn!("{warning}");
    }
    raise_open_files();
    let runtime = runtime(config.workers)?;
    let live = Live::new(config);
    let done = runtime.block_on(async {
        let stop = signals(sources, live.clone())?;
        crate::server::serve(live, stop).await.map_err(failure)
    });
    // Whatever a task still does, an answered drain must end the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Start(StartError::Store(error)) => Failure::Store(error),
        other => Failure::Other(other.to_string()),
    }
}

fn dev_banner(config: &Config) -> String {
    if config.insecure {
        format!(
            "*** DEV MODE, INSECURE: everyone who reaches {} may read, publish and enter everything. ***\n*** Never run it so on a network that you do not trust. ***",
            config.listen
        )
    } else {
        "*** DEV MODE: open to this machine only, and there everyone may do everything. ***\n*** Write a fanfare.toml (docs/configuration.md) to close it and to let other machines in. ***".into()
    }
}

/// Logs to stderr: lines for people on a terminal, JSON otherwise.
fn start_logging() {
    let filter = EnvFilter::try_from_env("FANFARE_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber, when this process already has one, is not needed.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    Ok(builder.thread_name("fanfare").enable_all().build()?)
}

/// Lets the process have as many open files, that is connections, as the system allows it. The usual soft limit
/// of 1,024 exists for programs that call select(2).
fn raise_open_files() {
    #[cfg(unix)]
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// Installs the handlers. The future ends at the first SIGTERM or SIGINT; a second one ends the process at once.
#[cfg(unix)]
fn signals(sources: Sources, live: Arc<Live>) -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload(&sources, &live);
        }
    });
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if *stop.borrow() {
                tracing::warn!("stopping at once");
                std::process::exit(1);
            }
            tracing::info!("draining; once more stops at once");
            stop.send_replace(true);
        }
    });
    Ok(async move {
        // An error means that the sender is gone, which only happens when the runtime ends.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    })
}

/// Where there are no Unix signals, Ctrl-C stops and nothing reloads.
#[cfg(not(unix))]
fn signals(_: Sources, _: Arc<Live>) -> Result<impl Future<Output = ()>, Failure> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Reads the configuration again. A wrong one changes nothing.
#[cfg_attr(not(unix), allow(dead_code))]
fn reload(sources: &Sources, live: &Live) {
    let config = match sources.load() {
        Ok(config) => config,
        Err(errors) => {
            for error in errors.0 {
                tracing::error!("reload refused: {error}");
            }
            return;
        }
    };
    let changes = live.reload(config);
    for change in &changes {
        if change.needs_restart {
            tracing::warn!("reload: {change}");
        } else {
            tracing::info!("reload: {change}");
        }
    }
    tracing::info!(changes = changes.len(), "configuration read again");
}
