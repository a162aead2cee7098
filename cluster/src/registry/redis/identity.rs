//! Whose Redis this is, and whether it is set up as it should be.
//!
//! The first Onair to write into a Redis leaves the name of its cluster there, the number of shards and the version of the
//! layout; any other is refused from then on. Two clusters in one Redis would own each other's rooms.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};

use super::dial::{info_field, text};
use super::error::ConnectError;
use super::primary::{Lane, Primary};
use super::reports::Reports;
use super::settings::ClusterName;
use crate::ids::Shard;

/// Where the name is kept.
const KEY: &str = "{onair}:cluster";
/// The version of the layout of what we keep; another one is not understood.
const FORMAT: u32 = 1;
/// Time for each question.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// What is written under [`KEY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    cluster: String,
    shards: u8,
    format: u32,
}

pub(super) struct Identity {
    ours: Marker,
    confirm: u8,
    reports: Arc<Reports>,
}

impl Identity {
    pub(super) fn new(cluster: &ClusterName, confirm: u8, reports: Arc<Reports>) -> Self {
        let ours = Marker { cluster: cluster.to_string(), shards: Shard::COUNT, format: FORMAT };
        Self { ours, confirm, reports }
    }

    /// Makes this Redis ours if it is nobody's; refuses if it is another's.
    pub(super) async fn claim(&self, primary: &Primary) -> Result<(), ConnectError> {
        let broken = |why: String| ConnectError::Broken { at: primary.endpoint.to_string(), why };
        let ours = serde_json::to_string(&self.ours).map_err(|error| broken(error.to_string()))?;
        let of = |trouble| ConnectError::of(&primary.endpoint, trouble);
        // Looked for first: a Redis without memory refuses the write, and must not lock out those it belongs to.
        let commands = [get(KEY), set_if_absent(KEY, &ours)];
        let mut found = Value::Nil;
        for command in commands {
            let asked = primary.run(Lane::Plain, 1, &|_| command.clone(), 0, ASK_WITHIN).await.map_err(of)?;
            found = asked.values.into_iter().next().unwrap_or(Ok(Value::Nil)).map_err(of)?;
            if found != Value::Nil {
                break;
            }
        }
        let Some(found) = text(&found) else { return Ok(()) };
        let Ok(found) = serde_json::from_str::<Marker>(found) else {
            return Err(broken(format!("{KEY} is not what Onair writes there")));
        };
        if found.cluster != self.ours.cluster {
            let ours = self.ours.cluster.clone();
            return Err(ConnectError::OtherCluster { found: found.cluster, ours });
        }
        if found != self.ours {
            let told = |m: &Marker| format!("format {}, {} shards", m.format, m.shards);
            return Err(ConnectError::OtherFormat { found: told(&found), ours: told(&self.ours) });
        }
        Ok(())
    }

    /// Warns of settings with which Redis may lose what it should keep. What we may not ask is passed over.
    pub(super) async fn advise(&self, primary: &Primary) {
        let ask = |at: usize| match at {
            0 => redis::cmd("INFO"),
            _ => {
                let mut get = redis::cmd("CONFIG");
                get.arg("GET").arg("save");
                get
            }
        };
        let Ok(answers) = primary.run(Lane::Plain, 2, &ask, 0, ASK_WITHIN).await else { return };
        let mut values = answers.values.into_iter();
        let Some(Ok(info)) = values.next() else { return };
        let info = text(&info).unwrap_or_default();
        let say = |advice: &str| self.reports.advice(&primary.endpoint, advice);
        let policy = info_field(info, "maxmemory_policy").unwrap_or("noeviction");
        if policy != "noeviction" {
            say(&format!(
                "maxmemory-policy is {policy}: with anything but noeviction leases and keys may vanish"
            ));
        }
        let has_snapshots = match values.next() {
            Some(Ok(Value::Map(pairs))) => {
                pairs.first().and_then(|(_, save)| text(save)).is_some_and(|save| !save.is_empty())
            }
            _ => true,
        };
        if info_field(info, "aof_enabled") == Some("0") && !has_snapshots {
            say("no persistence: a restart forgets every lease and key; set appendonly yes");
        }
        let replicas = info_field(info, "connected_slaves").and_then(|count| count.parse::<u8>().ok());
        if replicas.is_some_and(|replicas| replicas < self.confirm) {
            say("fewer replicas than must confirm: no publisher is admitted until one is connected");
        }
    }
}

fn get(key: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}

/// Answers with what was there.
fn set_if_absent(key: &str, value: &str) -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(value).arg("NX").arg("GET");
    set
}
