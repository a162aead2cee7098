//! The Manager of Onair: it stores what happened, hands out broadcast addresses, and answers HTTP.
//!
//! The tour: [`start()`] opens the Live DB ([`live_db`]) and spawns the island (`island.rs`), a thread with the actix System.
//! On it lives the Manager actor (`manager.rs`); its children see to it that this Manager owns its share of the shards, read
//! their lifecycle events from the registry, store them (`shard/`) and do what must be done again and again (`duties.rs`). Beside it actix-web answers the routes in `api.rs`, straight from
//! registry and Live DB: `address.rs`, `ends.rs`, `holds.rs` and `live_keys.rs` are what they do. A registry that has lost its
//! memory gets it back from `restore.rs`. A process without a Manager answers its health checks by [`Probes`].

mod address;
mod api;
mod audit;
mod caller;
mod cloud_event;
pub mod config;
mod core;
mod debts;
mod duties;
mod ends;
mod error;
mod feed;
mod gate;
mod holds;
mod island;
pub mod live_db;
mod live_keys;
mod manager;
mod metrics;
mod outage;
mod parts;
mod probes;
mod rates;
mod reconciled;
mod reports;
mod restore;
mod role;
mod rotation;
mod shard;
mod ship;
mod start;
#[cfg(test)]
mod tests;
mod tokens;
mod under_way;

pub use address::BroadcastAddress;
pub use caller::CallerKind;
pub use config::ManagerConfig;
pub use error::ManagerError;
pub use metrics::ManagerMetrics;
pub use parts::{AdminToken, ManagerParts, NodeStatus, RegistryLife, SEAT, is_managers_name, manager_name};
pub use probes::{Probes, ProbesParts};
pub use role::{NoRole, Role};
pub use ship::settings as kafka;
pub use start::{ManagerHandle, start, start_on};
