//! The Manager of Onair: it stores what happened, hands out broadcast addresses, and answers HTTP.
//!
//! The tour: [`start`] opens the Live DB ([`live_db`]) and spawns the island (`island.rs`), a thread with the actix System.
//! On it lives the Manager actor (`manager.rs`); its children read lifecycle events from the registry and store them
//! (`shard/`). Beside it actix-web answers the routes in `api.rs`, straight from registry and Live DB.

mod address;
pub mod config;
mod error;
mod island;
pub mod live_db;
mod metrics;
mod parts;

pub use address::BroadcastAddress;
pub use config::ManagerConfig;
pub use error::ManagerError;
pub use island::{ManagerHandle, start, start_on};
pub use metrics::ManagerMetrics;
pub use parts::{AdminToken, ManagerParts, NodeStatus};
