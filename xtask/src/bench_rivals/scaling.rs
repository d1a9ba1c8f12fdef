//! The cost model in docs/scaling.md: what one of each thing costs, and what so many clients come to.

use std::fmt::Write as _;

use super::results::Results;

/// Kernel memory of an idle connection's socket on the server's side: the objects `TCP` (2,368 bytes), `sock_inode_cache` (832), `dentry`
/// (192), `filp` (192), `eventpoll_epi` (128) and `ep_head` (16) of /proc/slabinfo, Linux 6 on x86-64.
const KERNEL_KB: f64 = 3_728.0 / 1024.0;

/// What one of each costs; microseconds of processor time, KB of memory.
struct Costs {
    delivery: f64,
    batched: f64,
    publication: f64,
    connection: f64,
    idle: Vec<(&'static str, f64)>,
}

/// The tables, when the rows that they need were measured.
pub fn tables(results: &[Results]) -> Option<String> {
    let figure = |row: &str, entry: &str, place: &str| {
        let row = results.iter().find(|results| results.row == row)?;
        let entry = row.entries.iter().find(|measured| measured.name == entry)?;
        entry.figure(place).map(|(median, ..)| median)
    };
    let delivery = figure("one_in_flight", "Fanfare", "/cpu/us_per_delivery")?;
    let idle = ["Fanfare", "Fanfare, SSE", "Fanfare, parked poll", "Fanfare, TLS"];
    let names = ["WebSocket", "SSE", "parked poll", "WebSocket over TLS"];
    let costs = Costs {
        delivery,
        batched: figure("eight_in_flight", "Fanfare", "/cpu/us_per_delivery")?,
        // One publication, one delivery: what is not the delivery is the publication.
        publication: (figure("own_channel", "Fanfare", "/cpu/us_per_publication")? - delivery).max(0.0),
        connection: figure("accept", "Fanfare", "/cpu/us_per_connection")?,
        idle: names
            .into_iter()
            .zip(idle)
            .filter_map(|(name, entry)| {
                Some((name, figure("idle_memory", entry, "/memory/idle_per_connection")? / 1024.0))
            })
            .collect(),
    };
    Some(costs.unit_prices() + &costs.totals())
}

impl Costs {
    fn unit_prices(&self) -> String {
        let mut text = String::from("| one | costs |\n|---|---|\n");
        let _ = writeln!(text, "| delivery that leaves alone | {:.2} us |", self.delivery);
        let _ = writeln!(text, "| delivery, eight in a write | {:.2} us |", self.batched);
        let _ = writeln!(text, "| publication over WebSocket | {:.1} us |", self.publication);
        let _ = writeln!(text, "| connection, from SYN to subscribed | {:.0} us |", self.connection);
        for (name, kb) in &self.idle {
            let _ = writeln!(text, "| idle {name} | {kb:.1} KB, and {KERNEL_KB:.1} KB of the kernel |");
        }
        text
    }

    fn totals(&self) -> String {
        let mut text = String::from(
            "\n| clients | memory, idle WebSockets (kernel included) | one message to each: core seconds, alone / eight in a write | cores for \
             a message a second to each | all reconnect: core seconds |\n|---|---|---|---|---|\n",
        );
        let idle = self.idle.first().map_or(0.0, |(_, kb)| kb + KERNEL_KB);
        for clients in [10_000.0, 100_000.0, 1_000_000.0] {
            let seconds = |microseconds: f64| clients * microseconds / 1e6;
            let _ = writeln!(
                text,
                "| {clients} | {:.2} GB | {:.2} / {:.2} | {:.2} | {:.1} |",
                clients * idle / 1_048_576.0,
                seconds(self.delivery),
                seconds(self.batched),
                seconds(self.delivery),
                seconds(self.connection),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::Measured;
    use super::*;

    fn results(row: &str, entry: &str, report: serde_json::Value) -> Results {
        let measured =
            Measured { name: entry.into(), command: String::new(), reports: vec![report], missing: None };
        Results { row: row.into(), about: serde_json::Value::Null, entries: vec![measured] }
    }

    #[test]
    fn prices_come_from_the_rows_and_totals_are_their_multiples() {
        let cpu = |delivery: f64| serde_json::json!({"cpu": {"us_per_delivery": delivery, "us_per_publication": 5.0, "us_per_connection": 50.0}});
        let memory = serde_json::json!({"memory": {"idle_per_connection": 2048.0}});
        let mut all = vec![
            results("one_in_flight", "Fanfare", cpu(2.0)),
            results("eight_in_flight", "Fanfare", cpu(0.25)),
            results("own_channel", "Fanfare", cpu(5.0)),
            results("accept", "Fanfare", cpu(1.0)),
        ];
        assert_eq!(tables(&all[..3]), None);
        all.push(results("idle_memory", "Fanfare", memory));
        let text = tables(&all).unwrap();
        assert!(text.contains("| publication over WebSocket | 3.0 us |"), "{text}");
        assert!(text.contains("| 1000000 | 5.38 GB | 2.00 / 0.25 | 2.00 | 50.0 |"), "{text}");
    }
}
