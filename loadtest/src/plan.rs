//! Plan: what each client of a run does with its life, and where. A scenario is nothing but a list of plans.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::client::Want;
use crate::media::clip::Clip;
use crate::wire::requests::Requests;

/// A room as clients address it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, without secrets.
    pub label: String,
    /// Where it is published to.
    pub publish: Option<Door>,
    /// Where it is played.
    pub play: Option<Door>,
}

/// Where to connect, and what to say there.
#[derive(Clone, Debug)]
pub struct Door {
    /// Servers, in the order in which attempts take them; not empty.
    pub to: Vec<SocketAddr>,
    pub(crate) requests: Arc<Requests>,
}

/// How long a client stays once it is accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stay {
    /// To the end of the run.
    Forever,
    /// Not at all.
    No,
    /// Some time, this long on average; many leave early and a few late.
    About(Duration),
    /// Exactly this long.
    For(Duration),
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It says goodbye, as encoders do, and waits for the server to close.
    Goodbye,
    /// It closes the connection.
    Close,
    /// It resets the connection, as OBS does when the network is bad.
    Reset,
    /// It falls silent and leaves the connection open, as behind a dead network; its next connection comes while the server
    /// still believes in this one.
    Freeze,
    /// One of the others, by chance.
    Any,
}

/// What a client does when it is out again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Again {
    /// It stays out. If it was the server who ended it, that is a failure.
    Never,
    /// It comes back at once.
    AtOnce,
    /// It comes back after a time between these.
    Between(Duration, Duration),
    /// It comes back as OBS does: after 2 s, and if that fails after 3 s, 4.5 s, and so on: 2, 5, 9.5, 16 s after the drop.
    LikeObs,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which target it is about, by number.
    pub target: usize,
    /// Whether it publishes or plays.
    pub want: Want,
    /// When it comes, from the beginning of the run.
    pub begin: Duration,
    /// How long it stays.
    pub stay: Stay,
    /// How it leaves then.
    pub leave: Leaving,
    /// And what comes after.
    pub again: Again,
    /// What it publishes: none, and it is silent.
    pub clip: Option<Arc<Clip>>,
    /// It asks for an address that somebody else holds, and should be refused.
    pub is_rival: bool,
}

impl Plan {
    /// A client that comes, stays to the end and says goodbye.
    pub fn steady(target: usize, want: Want, begin: Duration, clip: Option<Arc<Clip>>) -> Self {
        let (stay, leave, again) = (Stay::Forever, Leaving::Goodbye, Again::Never);
        Self { target, want, begin, stay, leave, again, clip, is_rival: false }
    }
}

/// When our side acknowledges what it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Acks {
    /// As the kernel likes: at once in the beginning, later delayed.
    #[default]
    Kernel,
    /// At once, always (`TCP_QUICKACK`). A server that leaves Nagle's algorithm on does not wait for us then.
    AtOnce,
    /// Delayed by up to 40 ms, as in a connection where both sides talk.
    Delayed,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario's name.
    pub scenario: String,
    /// What it does, in words.
    pub about: String,
    /// The rooms.
    pub targets: Vec<Target>,
    /// The clients.
    pub plans: Vec<Plan>,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Local addresses to connect from, in turn; empty for whatever the kernel takes.
    pub from: Vec<IpAddr>,
    /// Acknowledgements.
    pub acks: Acks,
    /// From the last client's begin to the beginning of the measurement.
    pub warm_up: Duration,
    /// Length of the measurement.
    pub measure: Duration,
    /// How long a client waits for the server to accept it.
    pub patience: Duration,
    /// Seed of all chance.
    pub seed: u64,
    /// The server falls or is restarted on purpose: refusals, drops and gaps are counted, but break no promise.
    pub expects_drops: bool,
}

impl Job {
    /// From the beginning to the start of the measurement.
    pub fn lead(&self) -> Duration {
        self.plans.iter().filter(|plan| !plan.is_rival).map(|plan| plan.begin).max().unwrap_or_default()
            + self.warm_up
    }
}
