//! `fanfare bench`: the load generator.
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use clap::ValueEnum;
use fanfare_bench::{
    BenchError, Encoding, Load, Protocol, PublishOver, Report, Server, ServerOptions, Settings, Storm,
    Transport,
};

use super::{exit::Failure, output};
use crate::config::parse_duration;

/// What to measure.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without --url a hub is started in a process of its own, in memory, and measured.\n\
                  Figures of different machines or days cannot be compared: measure what you compare in one run, in turns."
)]
pub struct BenchArgs {
    #[command(subcommand)]
    part: Option<Part>,
    /// The server: http://HOST:PORT or https://HOST:PORT [default: start one]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Its process, for processor time and memory; with all that it starts; repeatable
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// The words it understands
    #[arg(long, value_enum, default_value_t = ProtocolArg::Fanfare)]
    protocol: ProtocolArg,
    /// The way to readers
    #[arg(long, value_enum, default_value_t = TransportArg::Ws)]
    transport: TransportArg,
    /// Readers' WebSockets in MessagePack instead of JSON
    #[arg(long)]
    msgpack: bool,
    /// Readers
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000)]
    subscribers: usize,
    /// Channels: readers are spread over them, publications go to each in turn
    #[arg(long, short = 'c', value_name = "N")]
    channels: Option<usize>,
    /// Channels that one reader reads
    #[arg(long, value_name = "N", default_value_t = 1)]
    channels_per_subscriber: usize,
    /// Every reader has a channel of its own and publishes to it
    #[arg(long)]
    own: bool,
    /// Publications in flight: the next goes out when every reader has one
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with = "rate")]
    in_flight: u32,
    /// Publications a second, whatever the server does; latency counts from when each was due
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Publish nothing: connections and memory alone
    #[arg(long, conflicts_with_all = ["rate", "in_flight"])]
    idle: bool,
    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 1)]
    publishers: usize,
    /// How they do [default: ws; http for pusher and nchan]
    #[arg(long, value_enum)]
    publish_over: Option<PublishOverArg>,
    /// Payload in bytes, 20 or more
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// Share of the readers that read slowly: 0.1 is a tenth
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    slow: f64,
    /// What a slow reader reads, in bytes a second
    #[arg(long, value_name = "BYTES", default_value_t = 10_000)]
    slow_rate: usize,
    /// Share of the readers that is cut off again and again, and comes back at once
    #[arg(long, value_name = "SHARE")]
    storm: Option<f64>,
    /// How often
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    storm_every: Duration,
    /// Length of the counted part
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    time: Duration,
    /// Time before it that is not counted
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    warmup: Duration,
    /// Rest before memory is read
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    settle: Duration,
    /// Worker threads of the hub that is started; 0: one for each core
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "url")]
    workers: usize,
    /// A token of Fanfare's; APP:KEY:SECRET of a Pusher server's
    #[arg(long, env = "FANFARE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// PEM file of the certificate authority behind an https URL
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What the report calls this run
    #[arg(long, value_name = "TEXT", default_value = "run")]
    label: String,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Write the distribution of latencies: NAME.hgrm for HdrHistogram's plotter, NAME.csv for anything else
    #[arg(long, value_name = "FILE", value_parser = plot_file)]
    plot: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Part {
    /// The base of ratios: a server that upgrades and makes one write for each delivery, nothing else
    #[command(hide = true)]
    Rawlimit {
        /// Address and port
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
enum ProtocolArg {
    Fanfare,
    /// Bare WebSockets
    Plain,
    Pusher,
    Socketio,
    /// Socket.IO, with a hub's own words.
    Socketiohub,
    Nchan,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum TransportArg {
    Ws,
    Sse,
    Stream,
    Poll,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum PublishOverArg {
    Ws,
    Http,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time such as 500ms, 5s or 1m".into())
}

fn plot_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|extension| extension == "hgrm" || extension == "csv");
    if known { Ok(path) } else { Err("it ends in .hgrm or .csv".into()) }
}

/// Measures and reports.
///
/// # Errors
/// The server is not there or refuses; the settings make no sense together; a file cannot be written.
pub fn run(args: BenchArgs) -> Result<(), Failure> {
    if let Some(Part::Rawlimit { listen }) = args.part {
        let listener = TcpListener::bind(listen)?;
        output::line(&format!("listening on http://{}", listener.local_addr()?))?;
        return Ok(fanfare_bench::rawlimit::serve(listener)?);
    }
    let own_server = match &args.url {
        Some(_) => None,
        None if args.protocol == ProtocolArg::Fanfare => {
            let options = ServerOptions { workers: args.workers, tls: None };
            Some(Server::start(&std::env::current_exe()?, &options)?)
        }
        None => return Err(Failure::Other("a server of another protocol needs --url".into())),
    };
    let settings = settings(&args, own_server.as_ref())?;
    static STOP: AtomicBool = AtomicBool::new(false);
    stop_on_ctrl_c(&STOP)?;
    let report = fanfare_bench::run(&settings, &STOP)?;
    drop(own_server);
    tell(&args, &report)
}

fn settings(args: &BenchArgs, server: Option<&Server>) -> Result<Settings, Failure> {
    let url = args.url.as_deref().or(server.map(Server::url)).unwrap_or_default();
    let usual = Settings::at(url)?;
    let mut pids = args.pid.clone();
    pids.extend(server.map(Server::pid));
    let channels =
        args.channels.unwrap_or(if args.own { args.subscribers } else { args.channels_per_subscriber });
    let load = match args.rate {
        _ if args.idle => Load::Idle,
        Some(rate) => Load::Rate(rate),
        None => Load::InFlight(args.in_flight),
    };
    let protocol = match args.protocol {
        ProtocolArg::Fanfare => Protocol::Fanfare,
        ProtocolArg::Plain => Protocol::Plain,
        ProtocolArg::Pusher => Protocol::Pusher,
        ProtocolArg::Socketio => Protocol::SocketIo,
        ProtocolArg::Socketiohub => Protocol::SocketIoHub,
        ProtocolArg::Nchan => Protocol::Nchan,
    };
    let publish_over = match (args.publish_over, protocol) {
        (Some(PublishOverArg::Ws), _) => PublishOver::Ws,
        (Some(PublishOverArg::Http), _) | (None, Protocol::Pusher | Protocol::Nchan) => PublishOver::Http,
        (None, _) => PublishOver::Ws,
    };
    Ok(Settings {
        label: args.label.clone(),
        ca: args.ca.clone(),
        pids,
        protocol,
        transport: match args.transport {
            TransportArg::Ws => Transport::Ws,
            TransportArg::Sse => Transport::Sse,
            TransportArg::Stream => Transport::Stream,
            TransportArg::Poll => Transport::Poll,
        },
        encoding: if args.msgpack { Encoding::Msgpack } else { Encoding::Json },
        subscribers: args.subscribers,
        channels,
        channels_per_subscriber: args.channels_per_subscriber,
        own: args.own,
        load,
        publishers: args.publishers,
        publish_over,
        size: args.size,
        slow_share: args.slow,
        slow_rate: args.slow_rate,
        storm: args.storm.map(|share| Storm { share, every: args.storm_every }),
        warmup: args.warmup,
        duration: args.time,
        settle: args.settle,
        token: args.token.clone(),
        ..usual
    })
}

/// The first Ctrl-C ends the run, which reports what it has; the second ends the process.
fn stop_on_ctrl_c(stop: &'static AtomicBool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.store(true, Relaxed);
                output::note("ending; press Ctrl-C again to end at once");
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    });
    Ok(())
}

fn tell(args: &BenchArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &args.plot {
        let csv = path.extension().is_some_and(|extension| extension == "csv");
        let text = if csv { report.plot.csv() } else { report.plot.hgrm() };
        fs::write(path, text).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
    }
    if args.json { output::line(&report.json()) } else { output::line(report.human().trim_end()) }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Self::Other(error.to_string())
    }
}
