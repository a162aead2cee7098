//! One server process, down, up or frozen: its start, its signals, its log. Works on a shared reference, from any thread.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::process;
use crate::wait::eventually;

/// How many lines of its log a failed test shows.
const SHOWN: usize = 15;

/// A process that can be started again. Not killed when dropped: its owner has more to put away, and knows the order.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Mutex<Option<Child>>,
    name: String,
    log_file: PathBuf,
    patience: Duration,
}

impl Daemon {
    /// One that is down. `patience`: how long it may take to answer after its start, and to go after it was told to.
    pub(crate) fn new(name: String, log_file: PathBuf, patience: Duration) -> Self {
        Self { child: Mutex::default(), name, log_file, patience }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it with what it prints at the end of its log; returns when `is_answering` says so. It has to be down.
    pub(crate) fn start(&self, mut command: Command, is_answering: impl Fn() -> bool) {
        let log = File::options().create(true).append(true).open(&self.log_file).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        let child = process::spawn(command).unwrap_or_else(|e| panic!("setpriv: {e}; run `make setup`"));
        *self.child() = Some(child);
        eventually(&format!("{} to answer", self.name), self.patience, || {
            if let Some(status) = self.child().as_mut().and_then(|child| child.try_wait().expect("our child"))
            {
                let (name, log) = (&self.name, self.log());
                panic!("{name} ended with {status}; if it is not installed, run `make setup`\n{log}");
            }
            is_answering().then_some(())
        });
    }

    /// Where it logs.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log_file).unwrap_or_default()).into_owned()
    }

    /// Shows how its log ends, if the test has failed.
    pub(crate) fn show_log_if_panicking(&self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(SHOWN).collect();
            eprintln!("--- last lines of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }

    /// The process id. Panics while it is down.
    pub(crate) fn pid(&self) -> u32 {
        self.child().as_ref().map(Child::id).unwrap_or_else(|| panic!("{} is down", self.name))
    }

    /// Whether the process is there, frozen ones included.
    pub(crate) fn is_up(&self) -> bool {
        self.child().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The process, for its end; from now on it counts as down.
    pub(crate) fn take(&self) -> Option<Child> {
        self.child().take()
    }

    /// SIGKILL, also when frozen; returns when it is gone.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to go by `signal`, one of those of [`process`]; returns when it is gone.
    pub(crate) fn stop(&self, signal: fn(u32)) {
        if let Some(mut child) = self.take() {
            signal(child.id());
            eventually(&format!("the end of {}", self.name), self.patience, || {
                child.try_wait().expect("our child")
            });
        }
    }

    /// A panic elsewhere does not make the process less ours.
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
