//! The registry of nodes on Redis, beside the leases: six keys under the hash tag `{nodes}`.
//!
//! Nothing here waits for replicas: a beat lost in a failover is made up by the next one, a second later.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::{Cmd, Script, Value, from_redis_value_ref};
use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Beat, DEAD_AFTER, Incarnation, NodeCard, NodeLoad, NodeState, NodeView, Nodes};
use crate::ids::NodeId;
use crate::registry::RegistryError;
use crate::registry::redis::RedisRegistry;
use crate::time::UnixMs;

/// What is known of a node that is gone is forgotten after this.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

const KEYS: [&str; 6] =
    ["{nodes}:seen", "{nodes}:run", "{nodes}:card", "{nodes}:load", "{nodes}:draining", "{nodes}:asked"];

const BEAT: &str = include_str!("../../lua/nodes_beat.lua");
const LEAVE: &str = include_str!("../../lua/nodes_leave.lua");
const LIST: &str = include_str!("../../lua/nodes_list.lua");
const DRAIN: &str = include_str!("../../lua/nodes_drain.lua");

/// What every connection to a primary loads besides the registry's own scripts.
pub(crate) const SCRIPTS: [&str; 4] = [BEAT, LEAVE, LIST, DRAIN];

static SHAS: LazyLock<[String; 4]> =
    LazyLock::new(|| SCRIPTS.map(|source| Script::new(source).get_hash().to_owned()));

/// Nodes kept in a Redis that all of them share.
pub struct RedisNodes {
    registry: Arc<RedisRegistry>,
    /// The runs that this process has said alive of. After Redis lost its memory their names look free, but what they hold is
    /// their own.
    known: Mutex<HashSet<Incarnation>>,
}

impl RedisNodes {
    /// Over the connections of `registry`.
    pub fn new(registry: Arc<RedisRegistry>) -> Self {
        Self { registry, known: Mutex::default() }
    }

    async fn run(&self, script: usize, args: &[&str]) -> Result<Value, RegistryError> {
        let mut command: Cmd = ::redis::cmd("EVALSHA");
        command.arg(&SHAS[script]).arg(KEYS.len()).arg(&KEYS).arg(args);
        self.registry.run_for_nodes(command).await
    }
}

#[async_trait]
impl Nodes for RedisNodes {
    async fn beat(&self, card: &NodeCard, load: &NodeLoad, is_draining: bool) -> Result<Beat, RegistryError> {
        let args = [
            card.node_id.as_str(),
            &card.incarnation.to_string(),
            &json(card)?,
            &json(load)?,
            if is_draining { "1" } else { "0" },
            &ms(DEAD_AFTER),
            &ms(FORGET_AFTER),
        ];
        let value = self.run(0, &args).await?;
        if let Ok((word, is_new, is_drain_asked)) = from_redis_value_ref::<(String, bool, bool)>(&value)
            && word == "alive"
        {
            let is_new = self.known.lock().insert(card.incarnation) && is_new;
            return Ok(Beat::Alive { is_new, is_drain_asked });
        }
        let (_, ago) = from_redis_value_ref::<(String, u64)>(&value).map_err(|_| broken("a beat"))?;
        Ok(Beat::Taken { beat_ago: Duration::from_millis(ago) })
    }

    async fn leave(&self, card: &NodeCard) -> Result<(), RegistryError> {
        self.run(1, &[card.node_id.as_str(), &card.incarnation.to_string()]).await?;
        self.known.lock().remove(&card.incarnation);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeView>, RegistryError> {
        type Row = (String, String, u64, bool, bool);
        let value = self.run(2, &[&ms(FORGET_AFTER)]).await?;
        let (now, rows) = from_redis_value_ref::<(u64, Vec<Row>)>(&value).map_err(|_| broken("the nodes"))?;
        // A node of another version may say more of itself than we understand; it is not why the others go missing.
        let mut nodes: Vec<_> = rows.into_iter().filter_map(|row| node(UnixMs(now), row)).collect();
        nodes.sort_by(|a, b| a.card.node_id.cmp(&b.card.node_id));
        Ok(nodes)
    }

    async fn ask_drain(&self, node: &NodeId) -> Result<bool, RegistryError> {
        let value = self.run(3, &[node.as_str(), &ms(DEAD_AFTER)]).await?;
        from_redis_value_ref(&value).map_err(|_| broken("an order to drain"))
    }
}

fn node(
    now: UnixMs,
    (card, load, seen, is_draining, is_drain_asked): (String, String, u64, bool, bool),
) -> Option<NodeView> {
    let seen_at = UnixMs(seen);
    let state = match is_draining {
        _ if seen_at.plus(DEAD_AFTER) <= now => NodeState::Gone,
        true => NodeState::Draining,
        false => NodeState::Ready,
    };
    let card = serde_json::from_str(&card).ok()?;
    Some(NodeView {
        card,
        load: serde_json::from_str(&load).unwrap_or_default(),
        state,
        seen_at,
        is_drain_asked,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, RegistryError> {
    serde_json::to_string(value).map_err(|error| RegistryError::Broken(error.to_string()))
}

fn ms(d: Duration) -> String {
    d.as_millis().to_string()
}

fn broken(what: &str) -> RegistryError {
    RegistryError::Broken(format!("answer about {what}"))
}
