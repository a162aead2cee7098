//! A child process that cannot outlive its test, with its stderr kept and its signals at hand.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// A running child. Killed when dropped; its last words are printed if the test fails.
pub struct Process {
    name: String,
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with stderr going to a file in `dir`. Stdin is empty, stdout is ours.
    pub fn spawn(name: &str, dir: &Path, command: &Command) -> Self {
        Self::spawn_with(name, dir, command, Stdio::inherit())
    }

    /// The same with stdout at hand, see [`Self::take_stdout`].
    pub fn spawn_piped(name: &str, dir: &Path, command: &Command) -> Self {
        Self::spawn_with(name, dir, command, Stdio::piped())
    }

    /// The same with stdout going nowhere.
    pub fn spawn_silent(name: &str, dir: &Path, command: &Command) -> Self {
        Self::spawn_with(name, dir, command, Stdio::null())
    }

    fn spawn_with(name: &str, dir: &Path, command: &Command, stdout: Stdio) -> Self {
        let stderr = dir.join(format!("{name}-{:x}.stderr", rand_suffix()));
        let file = File::create(&stderr).expect("a file for stderr");
        let mut dying_with_us = onair_testkit::process::dying_with_us(command.get_program());
        dying_with_us.args(command.get_args()).stdin(Stdio::null()).stderr(file).stdout(stdout);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => dying_with_us.env(key, value),
                None => dying_with_us.env_remove(key),
            };
        }
        let child = onair_testkit::process::spawn(dying_with_us)
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}; is it installed? (make setup)"));
        Self { name: name.to_owned(), child, stderr }
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    pub fn stderr_file(&self) -> &Path {
        &self.stderr
    }

    pub fn take_stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("stdout was piped")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Its exit, which must come in time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        eventually(&format!("the end of {name}"), within, || self.child.try_wait().expect("our child"))
    }

    /// SIGSTOP: alive, sockets open, silent.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGINT, as Ctrl-C: encoders say goodbye.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(super::LONG);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not zero");
        kill_process(pid, signal).expect("our child takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = self.stderr();
            let tail: Vec<_> = text.lines().rev().take(40).collect();
            eprintln!("--- last lines of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Tells apart the files of processes of one name.
fn rand_suffix() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
