//! What processes use, read from `/proc` (Linux; elsewhere everything is zero and the report leaves it out).

use std::collections::HashSet;
use std::fs;

/// Kernel ticks a second in `/proc/PID/stat`: USER_HZ, 100 on every architecture that Rust runs on.
const TICKS: f64 = 100.0;

/// A server: its processes and all their descendants.
#[derive(Clone, Default, Debug)]
pub struct Processes {
    roots: Vec<u32>,
}

impl Processes {
    /// Of these processes, and what they start.
    pub fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    /// Whether there is anything to read.
    pub fn known(&self) -> bool {
        !self.all().is_empty()
    }

    /// The first of the given processes that does not exist.
    pub fn missing(&self) -> Option<u32> {
        let gone = |pid: &u32| !std::path::Path::new(&format!("/proc/{pid}/stat")).exists();
        self.roots.iter().copied().find(gone)
    }

    /// The processes that exist now: those given and their descendants.
    fn all(&self) -> Vec<u32> {
        if self.roots.is_empty() {
            return Vec::new();
        }
        let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid: u32| Some((pid, stat(pid)?.parent)))
            .collect();
        let mut found: HashSet<u32> = self.roots.iter().copied().collect();
        loop {
            let before = found.len();
            found.extend(
                processes
                    .iter()
                    .filter(|(_, parent)| found.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if found.len() == before {
                break;
            }
        }
        processes.iter().map(|(pid, _)| *pid).filter(|pid| found.contains(pid)).collect()
    }

    /// Processor time so far, user and system, in seconds.
    pub fn cpu(&self) -> f64 {
        self.all().into_iter().filter_map(|pid| Some(stat(pid)?.cpu)).sum()
    }

    /// Resident memory in bytes. Pages that several processes share count in each of them.
    pub fn rss(&self) -> u64 {
        self.all().into_iter().filter_map(rss).sum()
    }
}

struct Stat {
    parent: u32,
    cpu: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): the second field is the name in parentheses, which may hold anything; then state, ppid (4), ..., utime (14), stime (15).
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, cpu: (number(11)? + number(12)?) as f64 / TICKS })
}

fn rss(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "17 (a) b (c) S 5 17 17 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 1 0 100 1000 200";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.cpu), (5, 3.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_and_its_children_are_read() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let me = Processes::new(vec![std::process::id()]);
        let all = me.all();
        assert!(all.contains(&std::process::id()) && all.contains(&child.id()), "{all:?}");
        assert!(me.rss() > 100_000 && me.missing().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Processes::new(vec![child.id()]).missing(), Some(child.id()));
    }
}
