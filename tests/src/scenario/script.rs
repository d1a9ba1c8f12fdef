//! The one script: publishers speak on many channels, clients of any transport listen, the network cuts them all off at random, and the
//! server is left alone.
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use fanfare_testkit::{FaultProxy, Random};
use tokio::{task::JoinSet, time::Instant};

use super::{
    client::{Client, Target},
    fault::Fault,
    ledger::Ledger,
    poll_client::PollClient,
    publisher::{Means, Publisher, positions},
    reader::{Reader, Story},
    sse_client::SseClient,
    stream_client::StreamClient,
    transport::Transport,
    websocket::Subprotocol,
    ws_client::WsClient,
};

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Script {
    /// The clients' transports.
    pub transports: Vec<Transport>,
    /// Clients of each, every one of which reads all channels.
    pub clients: usize,
    /// Channels.
    pub channels: usize,
    /// Messages on all channels together.
    pub messages: usize,
    /// A reader's connection is cut after so many bytes at most.
    pub reader_bytes: u64,
    /// The same for a poll's, whose answers (up to 256 KB) are read whole or not at all.
    pub poll_bytes: u64,
    /// A publisher's connection is cut after so many bytes of answers at most.
    pub publisher_bytes: u64,
    /// A publisher's longest pause between two writes.
    pub pause: Duration,
    /// The whole run takes no longer.
    pub patience: Duration,
}

/// What happened, so that a test can see that something did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For each transport its readers' stories, added up.
    pub stories: Vec<(Transport, Story)>,
    /// Messages that publishers said again.
    pub repeated: u64,
    /// Of these, found to be there already.
    pub duplicates: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}; said again {}, duplicates {}", self.took, self.repeated, self.duplicates)?;
        for (transport, story) in &self.stories {
            write!(
                f,
                "; {transport:?}: {} messages, {} connections, {} resumed",
                story.messages, story.connections, story.resumed
            )?;
        }
        Ok(())
    }
}

impl Script {
    /// Runs it once, on channels that no other run of this server has used.
    ///
    /// # Errors
    /// When anything was lost, repeated or out of order.
    pub async fn run(&self, server: SocketAddr, seed: u64) -> Result<Outcome, Fault> {
        let began = Instant::now();
        let deadline = began + self.patience;
        let mut random = Random::new(seed);
        let run = crate::wait::unique("run");
        let names: Arc<[String]> = (0..self.channels).map(|n| format!("{run}-{seed}.{n}")).collect();
        let each = self.messages / self.channels;
        let ledger = Arc::new(Ledger::new(positions(server, &names).await?, each));
        let network = Network {
            to_readers: FaultProxy::cutting(server, random.bits(), self.reader_bytes).await?,
            to_pollers: FaultProxy::cutting(server, random.bits(), self.poll_bytes).await?,
            to_publishers: FaultProxy::cutting(server, random.bits(), self.publisher_bytes).await?,
        };

        let mut readers = self.readers(&network, &names, &ledger, &mut random, deadline);
        let mut publishers = JoinSet::new();
        for publisher in self.publishers(network.to_publishers.address(), &names, &ledger, &mut random) {
            publishers.spawn(publisher.run(deadline));
        }
        let weather = network.weather(random);
        let finished = async {
            let mut outcome = Outcome::default();
            while let Some(publisher) = publishers.join_next().await {
                let publisher = publisher.map_err(|error| Fault::wrong(error.to_string()))??;
                outcome.repeated += publisher.repeated;
                outcome.duplicates += publisher.duplicates;
            }
            ledger.audit()?;
            while let Some(reader) = readers.join_next().await {
                let (transport, story) = reader.map_err(|error| Fault::wrong(error.to_string()))?;
                outcome
                    .add(transport, story.map_err(|fault| Fault::wrong(format!("{transport:?}: {fault}")))?);
            }
            Ok::<Outcome, Fault>(outcome)
        };
        let mut outcome = tokio::select! {
            outcome = finished => outcome?,
            () = weather => Outcome::default(),
        };
        outcome.took = began.elapsed();
        Ok(outcome)
    }

    fn readers(
        &self,
        network: &Network,
        names: &Arc<[String]>,
        ledger: &Arc<Ledger>,
        random: &mut Random,
        deadline: Instant,
    ) -> JoinSet<(Transport, Result<Story, Fault>)> {
        let mut readers = JoinSet::new();
        let all: Vec<usize> = (0..self.channels).collect();
        for transport in &self.transports {
            let address = network.way_of(*transport);
            for client in 0..self.clients {
                for own in all.chunks(transport.channels_per_connection()) {
                    let channels = own.iter().filter_map(|channel| names.get(*channel).cloned()).collect();
                    let target = Target { address, channels };
                    let (own, ledger, seed) = (own.to_vec(), ledger.clone(), random.bits());
                    match transport {
                        Transport::WsJson => {
                            let client = WsClient::new(target, Subprotocol::Json, random.bits());
                            read(&mut readers, *transport, client, own, ledger, seed, deadline);
                        }
                        Transport::WsMsgpack => {
                            let client = WsClient::new(target, Subprotocol::MessagePack, random.bits());
                            read(&mut readers, *transport, client, own, ledger, seed, deadline);
                        }
                        Transport::Sse => {
                            let client = SseClient::new(target, client % 2 == 0);
                            read(&mut readers, *transport, client, own, ledger, seed, deadline);
                        }
                        Transport::Stream => {
                            read(
                                &mut readers,
                                *transport,
                                StreamClient::new(target),
                                own,
                                ledger,
                                seed,
                                deadline,
                            );
                        }
                        Transport::LongPoll => {
                            let client = PollClient::new(target, 5, random.bits());
                            read(&mut readers, *transport, client, own, ledger, seed, deadline);
                        }
                        Transport::ShortPoll => {
                            let client = PollClient::new(target, 0, random.bits());
                            read(&mut readers, *transport, client, own, ledger, seed, deadline);
                        }
                    }
                }
            }
        }
        readers
    }

    /// Two that pipeline on a WebSocket, one that asks message by message, one that sends many in a request.
    fn publishers(
        &self,
        address: SocketAddr,
        names: &Arc<[String]>,
        ledger: &Arc<Ledger>,
        random: &mut Random,
    ) -> Vec<Publisher> {
        let each = self.messages / self.channels;
        let mut shuffled: Vec<usize> = (0..each * self.channels).map(|n| n % self.channels).collect();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.index(at + 1));
        }
        let shares = [(Means::Pipelined, 35), (Means::Pipelined, 35), (Means::Single, 5), (Means::Many, 25)];
        let total = shuffled.len();
        let mut publishers = Vec::new();
        for (from, (means, share)) in (1..).zip(shares) {
            let take = if from as usize == shares.len() { shuffled.len() } else { total * share / 100 };
            publishers.push(Publisher {
                from,
                means,
                address,
                names: names.clone(),
                messages: shuffled.drain(..take).collect(),
                ledger: ledger.clone(),
                random: Random::new(random.bits()),
                pause: self.pause,
                repeated: 0,
                duplicates: 0,
            });
        }
        publishers
    }
}

fn read(
    readers: &mut JoinSet<(Transport, Result<Story, Fault>)>,
    transport: Transport,
    client: impl Client + 'static,
    channels: Vec<usize>,
    ledger: Arc<Ledger>,
    seed: u64,
    deadline: Instant,
) {
    let reader = Reader::new(client, channels, ledger, seed);
    readers.spawn(async move { (transport, reader.run(deadline).await) });
}

/// The proxies between the server and everybody.
struct Network {
    to_readers: FaultProxy,
    to_pollers: FaultProxy,
    to_publishers: FaultProxy,
}

impl Network {
    fn way_of(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::LongPoll | Transport::ShortPoll => self.to_pollers.address(),
            _ => self.to_readers.address(),
        }
    }

    /// Now and then everybody is cut off at once, or no byte passes for a moment.
    async fn weather(&self, mut random: Random) {
        loop {
            tokio::time::sleep(Duration::from_millis(100 + random.below(600))).await;
            let what = random.below(4);
            if what == 3 {
                self.to_readers.stall();
                self.to_pollers.stall();
                tokio::time::sleep(Duration::from_millis(20 + random.below(150))).await;
                self.to_readers.resume();
                self.to_pollers.resume();
                continue;
            }
            if what != 1 {
                self.to_readers.cut_all();
                self.to_pollers.cut_all();
            }
            if what != 0 {
                self.to_publishers.cut_all();
            }
        }
    }
}

impl Outcome {
    fn add(&mut self, transport: Transport, story: Story) {
        if !self.stories.iter().any(|(own, _)| *own == transport) {
            self.stories.push((transport, Story::default()));
        }
        for (_, sum) in self.stories.iter_mut().filter(|(own, _)| *own == transport) {
            sum.messages += story.messages;
            sum.connections += story.connections;
            sum.resumed += story.resumed;
            sum.subscriptions += story.subscriptions;
        }
    }
}
