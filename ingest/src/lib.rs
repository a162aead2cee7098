//! Sockets and actors: how a publisher's media gets from a TCP connection into a room, and from the room to its players.
//!
//! The tree, each supervisor with a table of what it does when a child dies:
//!
//! ```text
//! IngestNode (node.rs)
//! ├── KeeperActor (keeper.rs)        runs the cluster's lease keeper
//! ├── Connections (connections.rs)
//! │   └── Connection (connection.rs) one per socket; decides
//! │       └── pump (connection/pump.rs), a task: moves the bytes
//! └── Listener (listener.rs)         accepts
//! ```
//!
//! Media goes from pump to pump through a room (room.rs), never through a mailbox.

mod admission;
mod config;
mod connection;
mod connections;
#[cfg(feature = "fault-injection")]
mod faults;
mod keeper;
mod listener;
mod node;
mod probe;
mod reports;
mod room;
mod stop;
mod task;

pub use config::IngestConfig;
pub use listener::bind;
pub use node::{IngestNode, NodeParts, StartError};
pub use reports::Reports;
