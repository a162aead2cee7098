//! The scripts: their sources, each with the two preludes that all share, and the digests Redis knows them by.

use std::sync::LazyLock;

use ::redis::Script as Hashed;

/// Shared by all: who calls, what time it is, what the shard remembers of itself.
const HEAD: &str = include_str!("../../../lua/head.lua");
/// Shared by all: leases, events, ends, keys and holds.
const LEASES: &str = include_str!("../../../lua/leases.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)+) => {
        /// One atomic step of the registry, as Redis runs it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Script { $($(#[$doc])* $name,)+ }

        impl Script {
            /// All of them: what a new connection loads.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The script without what it shares with the others; its first line starts with `#!lua`.
            pub(crate) const fn body(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../../../lua/", $file, ".lua")),)+ }
            }

            /// Its name, for metrics and errors.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $file,)+ }
            }
        }
    };
}

scripts! {
    /// Claims a room.
    Acquire = "acquire",
    /// Renews up to 256 leases.
    Renew = "renew",
    /// Ends a session.
    Release = "release",
    /// Ends what is dead.
    Tick = "tick",
    /// Ends what a restarted node held.
    FreeNode = "free_node",
    /// Tells a holder to end.
    Order = "order",
    /// Revokes a live key.
    Revoke = "revoke",
    /// Writes a live key's record.
    PutKey = "put_key",
    /// Closes a room.
    PutHold = "put_hold",
    /// Opens it again.
    LiftHold = "lift_hold",
    /// Forgets events that were read.
    Acknowledge = "acknowledge",
    /// Keys and holds are back.
    Recovered = "recovered",
    /// Reads a lease.
    LookLease = "look_lease",
    /// Reads a page of leases.
    LookLeases = "look_leases",
    /// Reads a page of all leases, and how many events tell of them.
    Snapshot = "snapshot",
    /// Reads a hold.
    LookHold = "look_hold",
    /// Reads a live key's record.
    LookKey = "look_key",
}

static READY: LazyLock<Vec<Ready>> =
    LazyLock::new(|| Script::ALL.iter().map(|s| Ready::new(s.body())).collect());

/// A script as it is sent.
struct Ready {
    source: String,
    sha: String,
}

impl Ready {
    fn new(body: &str) -> Self {
        let source = assemble(HEAD, LEASES, body);
        let sha = Hashed::new(&source).get_hash().to_owned();
        Self { source, sha }
    }
}

/// The `#!lua` line must stay the first. With it, Redis checks memory, read-only state and replicas before the script starts
/// and not in its midst, and refuses keys of another slot.
pub(crate) fn assemble(head: &str, leases: &str, body: &str) -> String {
    let (first, rest) = body.split_once('\n').unwrap_or((body, ""));
    format!("{first}\n{head}\n{leases}\n{rest}")
}

impl Script {
    /// The whole source: what `SCRIPT LOAD` takes.
    pub(crate) fn source(self) -> &'static str {
        &READY[self as usize].source
    }

    /// The digest of the source: what `EVALSHA` takes.
    pub(crate) fn sha(self) -> &'static str {
        &READY[self as usize].sha
    }
}
