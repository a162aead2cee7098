//! Children that die with us, and signals by process id.
//!
//! A test that is killed runs no `Drop`, so its children ask the kernel to be killed with it. The kernel means the *thread*
//! that started them, and every test has a thread of its own; so one thread, which lives as long as the process, starts
//! them all.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// A command for `program` that is killed when this process ends in whatever way. Start it with [`spawn`].
///
/// Asking for this needs code between fork and exec, which Rust calls unsafe; `setpriv` (of util-linux, so everywhere on
/// Debian) does it for us and then becomes the program, under the same process id.
pub fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts `command` from the thread that outlives every test.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = sync_channel::<Order>(0);
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for Order { mut command, answer } in inbox {
                    // The asker may have panicked meanwhile; then nobody holds the child, and it goes at once.
                    if let Err(lost) = answer.send(command.spawn())
                        && let Ok(mut child) = lost.0
                    {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            })
            .expect("a thread");
        orders
    });
    let (answer, outcome) = sync_channel(1);
    spawner.send(Order { command, answer }).expect("the spawner lives for ever");
    outcome.recv().expect("the spawner answers")
}

struct Order {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

/// SIGSTOP: alive, sockets open, silent.
pub fn freeze(pid: u32) {
    signal(pid, Signal::STOP);
}

/// SIGCONT.
pub fn thaw(pid: u32) {
    signal(pid, Signal::CONT);
}

/// SIGKILL, also to the frozen. Returns before the process is gone; whoever owns it waits for it.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// SIGTERM.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// SIGINT.
pub fn interrupt(pid: u32) {
    signal(pid, Signal::INT);
}

/// SIGQUIT.
pub fn quit(pid: u32) {
    signal(pid, Signal::QUIT);
}

/// Whether a process of this id exists, zombies included.
pub fn exists(pid: u32) -> bool {
    rustix::process::test_kill_process(raw(pid)).is_ok()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(raw(pid), signal).unwrap_or_else(|e| panic!("{signal:?} to process {pid}: {e}"));
}

/// The same to a process that may have gone by itself, as a child of a child may.
pub(crate) fn signal_if_there(pid: u32, signal: Signal) {
    let _ = kill_process(raw(pid), signal);
}

fn raw(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{pid} is no process id"))
}
