//! What the demos at `/demos/` show: a market, seats, numbers, jobs and other made-up data, published through the hub as any program would,
//! so that every visitor sees the same. Nothing is published while nobody listens.
mod chance;
mod feeder;
mod jobs;
mod market;
mod moods;
mod orders;
mod pointers;
mod source;
mod stocks;
mod ticks;
mod tours;

use tokio::task::JoinSet;

use crate::Fanfare;
use chance::Chance;
use source::Source;

/// The running demos, which end when this is dropped.
#[derive(Debug)]
pub struct Demos {
    _tasks: JoinSet<()>,
}

/// Starts what feeds the demos. They hold the hub: drop them before the hub is to end by itself.
///
/// The channels are `demo:...`; in a hub with namespaces of its own, `[namespaces.demo]` says who may use them, and needs `keyed = true`,
/// `presence = true`.
pub fn spawn(fanfare: &Fanfare) -> Demos {
    let mut tasks = JoinSet::new();
    for source in sources(Chance::new()) {
        tasks.spawn(feeder::run(fanfare.clone(), source));
    }
    tasks.spawn(jobs::run(fanfare.clone(), Chance::new()));
    Demos { _tasks: tasks }
}

fn sources(mut chance: Chance) -> Vec<Box<dyn Source>> {
    vec![
        Box::new(market::Market::new(chance.fork())),
        Box::new(stocks::Stocks::new(chance.fork())),
        Box::new(tours::Tours::new(chance.fork())),
        Box::new(moods::Moods::new(chance.fork())),
        Box::new(orders::Orders::new(chance.fork())),
        Box::new(pointers::Pointers::default()),
        Box::new(ticks::Numbers::new(chance.fork())),
        Box::new(ticks::Ticks::new("demo:ticks", "tick", ticks::FAST)),
        Box::new(ticks::Ticks::new("demo:compare", "update", ticks::STEADY)),
    ]
}
