//! A call of a script: what it asks, and what the connection adds about the caller.

use std::time::Duration;

use ::redis::{Cmd, Value};

use super::scripts::Script;
use super::trouble::Trouble;
use crate::ids::Shard;
pub(crate) use crate::registry::local::memory::{Contact, Position};
use crate::registry::{LeaseTimes, RegistryError};
use crate::time::UnixMs;

/// What one script is asked to do in one shard. Everything but the caller's own circumstances, which are put in when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which step.
    pub(crate) script: Script,
    /// Where. Decides the primary.
    pub(crate) shard: Shard,
    /// The script's own arguments, after those of the caller.
    pub(crate) args: Vec<Vec<u8>>,
}

/// Who calls, and what it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// The cluster's name. A Redis with another one in it refuses.
    pub(crate) cluster: &'a str,
    /// The times all nodes go by.
    pub(crate) times: &'a LeaseTimes,
    /// Unread events of one shard before it grants nothing new.
    pub(crate) unread_max: usize,
    /// A shard that nobody called for longer was away; `None` leaves out all rules about a registry that was away.
    pub(crate) gap: Option<Duration>,
    /// The `run_id` of the primary, from `INFO server`; empty if not known. Another one than the last says that it restarted
    /// or is another process.
    pub(crate) run_id: &'a str,
    /// The highest position of this shard that was confirmed to the caller; zeros if it knows none.
    pub(crate) known: Position,
    /// How long the caller has been in touch with this primary.
    pub(crate) contact: Option<Contact>,
    /// The time to go by instead of the clock of Redis. For tests only: records then do not expire by themselves.
    pub(crate) now: Option<UnixMs>,
}

impl Caller<'_> {
    /// A shard is called at least once a second, by whoever reads its events; or the caller knows by its [`Contact`] that
    /// the primary was there. A longer gap means that nobody could renew.
    pub(crate) const GAP: Duration = Duration::from_secs(3);
}

impl Call {
    /// The keys of a shard that every script is given. Records of rooms and live keys are named from the same tag.
    pub(crate) fn keys(shard: Shard) -> [String; 4] {
        ["meta", "exp", "rooms", "ev"].map(|name| key(shard, name))
    }

    /// The command that runs the loaded script.
    pub(crate) fn command(&self, caller: &Caller<'_>) -> Cmd {
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(self.script.sha());
        self.put_arguments(&mut command, caller);
        command
    }

    /// What came of it; an error that we do not understand says whose it is.
    pub(super) fn answer(&self, value: Result<Value, Trouble>) -> Result<Value, RegistryError> {
        value.map_err(|trouble| match trouble {
            Trouble::Broken(why) => RegistryError::Broken(format!("{}: {why}", self.script.name())),
            trouble => RegistryError::from(trouble),
        })
    }

    /// All that follows the script's digest, or its source.
    pub(crate) fn put_arguments(&self, command: &mut Cmd, caller: &Caller<'_>) {
        let keys = Self::keys(self.shard);
        command.arg(keys.len()).arg(&keys[..]);
        let times = caller.times;
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        command.arg(caller.cluster);
        for time in [times.ttl, times.grace, times.want_for, times.takeover_every, times.tombstone_for] {
            command.arg(ms(time));
        }
        command.arg(caller.unread_max);
        put_or_nothing(command, caller.gap.map(ms));
        command.arg(caller.run_id).arg(caller.known.life).arg(caller.known.n);
        put_or_nothing(command, caller.contact.map(|contact| contact.from.0));
        put_or_nothing(command, caller.contact.map(|contact| contact.to.0));
        put_or_nothing(command, caller.now.map(|now| now.0));
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
    }
}

fn put_or_nothing(command: &mut Cmd, number: Option<u64>) {
    match number {
        Some(number) => command.arg(number),
        None => command.arg(""),
    };
}

/// The name of a shard's key: `{s07}:meta`. The braces make all of a shard one slot of a Redis Cluster.
pub(crate) fn key(shard: Shard, name: &str) -> String {
    format!("{{s{shard}}}:{name}")
}
