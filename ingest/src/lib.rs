//! Sockets and actors: how a publisher's media gets from a TCP connection into a room, and from the room to its players.
//!
//! The tree, each supervisor with a table of what it does when a child dies:
//!
//! ```text
//! IngestNode (node.rs)
//! ├── KeeperActor (keeper.rs)        runs the cluster's lease keeper
//! ├── Connections (connections.rs)
//! │   └── Connection (connection.rs) one per socket; decides
//! │       └── pump (connection/pump.rs): moves the bytes, on a reactor (reactor.rs)
//! ├── Pulls (relay/pulls.rs)         rooms that other nodes hold
//! │   └── follow (relay/follow.rs), a task per room: pulls it
//! └── Listener (listener.rs)         accepts; one for encoders and players, one for other nodes
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
mod reactor;
mod read_buffer;
mod relay;
mod reports;
mod room;
mod socket;
mod stop;
mod task;

pub use config::{IngestConfig, PlayAccess};
pub use listener::bind;
pub use node::{IngestNode, NodeParts, StartError};
pub use relay::{Network, NetworkError, RelayParts};
pub use reports::Reports;
