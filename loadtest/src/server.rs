//! Server: what the process under test costs, as the kernel counts it: CPU of all its threads, and memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// How long a child may go unnoticed.
const FAMILY_MAX: Duration = Duration::from_secs(10);

/// A server's processes: those that were named, and their children, since some servers work in children.
#[derive(Clone, Debug, Default)]
pub struct Process {
    pids: Vec<u32>,
    /// The family as it was found last, and when.
    family: RefCell<Option<(Instant, Vec<u32>)>>,
}

/// What it has used so far, or in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of CPU, in the program and in the kernel on its behalf.
    pub cpu_seconds: f64,
    /// Memory that is its own, with its share of what it shares; KiB.
    pub pss_kib: u64,
    /// Memory resident, shared or not; KiB.
    pub rss_kib: u64,
    /// Processes counted.
    pub processes: usize,
}

impl Usage {
    /// The CPU used since `before`, and the memory as it is now.
    pub fn since(&self, before: &Self) -> Self {
        Self { cpu_seconds: (self.cpu_seconds - before.cpu_seconds).max(0.0), ..*self }
    }
}

impl Process {
    /// The processes with these ids, and their children.
    pub fn of(pids: Vec<u32>) -> Self {
        Self { pids, family: RefCell::default() }
    }

    /// What they have used; `None` when none was named, or none lives.
    pub fn usage(&self) -> Option<Usage> {
        if self.pids.is_empty() {
            return None;
        }
        let mut sum = Usage::default();
        for pid in self.family() {
            let Some(cpu_seconds) = stat(pid).map(|stat| stat.cpu_seconds) else { continue };
            let (pss_kib, rss_kib) = memory(pid).unwrap_or((0, 0));
            sum.cpu_seconds += cpu_seconds;
            sum.pss_kib += pss_kib;
            sum.rss_kib += rss_kib;
            sum.processes += 1;
        }
        (sum.processes > 0).then_some(sum)
    }

    /// The processes named, and all below them. Looking through everything that runs on a machine is not for every second.
    fn family(&self) -> Vec<u32> {
        let mut known = self.family.borrow_mut();
        match &*known {
            Some((at, family)) if at.elapsed() < FAMILY_MAX => family.clone(),
            _ => known.insert((Instant::now(), self.look())).1.clone(),
        }
    }

    fn look(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if let Some(stat) = stat(pid) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let mut family = self.pids.clone();
        let mut at = 0;
        while let Some(pid) = family.get(at).copied() {
            let more = children.remove(&pid).unwrap_or_default();
            family.extend(more.into_iter().filter(|child| !self.pids.contains(child)));
            at += 1;
        }
        family
    }
}

struct Stat {
    parent: u32,
    cpu_seconds: f64,
}

/// `/proc/<pid>/stat`, see proc(5): the name in parentheses may hold anything, so fields are counted from its end.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    #[allow(clippy::cast_precision_loss, reason = "a hundred or so")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    let cpu_seconds = (f64::from(ticks(11)?) + f64::from(ticks(12)?)) / per_second;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu_seconds })
}

/// Proportional and resident memory in KiB. Without the right to look closely, the resident memory for both.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    if let (Some(pss), Some(rss)) = (field(&rollup, "Pss"), field(&rollup, "Rss")) {
        return Some((pss, rss));
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&status, "VmRSS").map(|rss| (rss, rss))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_of_cpu_and_memory_is_found() {
        let me = Process::of(vec![std::process::id()]);
        let before = me.usage().unwrap();
        let mut sum = 0_u64;
        while me.usage().unwrap().since(&before).cpu_seconds < 0.05 {
            sum = (0..100_000_u64).fold(sum, u64::wrapping_add);
        }
        assert!(before.rss_kib > 1000 && before.pss_kib <= before.rss_kib && before.processes >= 1, "{sum}");
        assert_eq!(Process::default().usage(), None);
        assert_eq!(Process::of(vec![u32::MAX]).usage(), None);
    }
}
