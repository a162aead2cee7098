//! A process with its children, frozen together. PostgreSQL's backends are in process groups of their own, so a signal to
//! one group would not reach them.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::process;

/// Stops `parent`, then its children; returns the children. A stopped parent forks no more, so the list is complete.
pub(crate) fn freeze(parent: u32) -> Vec<u32> {
    process::signal_if_there(parent, process::Signal::STOP);
    let children = children(parent);
    for child in &children {
        process::signal_if_there(*child, process::Signal::STOP);
    }
    children
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Field 4 of `/proc/pid/stat`; the name before it is in parentheses and may hold anything.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A frozen process and its children, thawed when this is dropped.
///
/// Also when we are killed: a child that is frozen would not see that its parent has died, and stay for ever. So a shell
/// waits for the end of a pipe that only we hold, and thaws them.
#[derive(Debug)]
pub(crate) struct Frozen {
    guard: Child,
}

impl Frozen {
    /// Freezes `parent` and all its children.
    pub(crate) fn freeze(parent: u32) -> Self {
        let mut pids = freeze(parent);
        pids.push(parent);
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read _; kill -CONT {} 2>/dev/null", pids.join(" "))]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { guard: command.spawn().unwrap_or_else(|e| panic!("sh: {e}")) }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
