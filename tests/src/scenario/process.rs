//! What a running process uses, as Linux tells it.
use std::time::Duration;

/// A process whose use of memory and processor is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Resident memory in bytes (`VmRSS`).
    ///
    /// # Panics
    /// When there is no such process.
    pub fn resident_bytes(self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
        kilobytes << 10
    }

    /// Processor time used so far, user and system.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn cpu_time(self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The command's name stands in parentheses and may hold spaces; fields 14 and 15 of proc(5) come 11 after it, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Processor time used during so much time.
    pub async fn cpu_during(self, time: Duration) -> Duration {
        let before = self.cpu_time();
        tokio::time::sleep(time).await;
        self.cpu_time() - before
    }
}
