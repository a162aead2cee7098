//! Relay: how a room that another node holds gets to players here. One pull per room and node, however many watch.
//!
//! ```text
//! Pulls (pulls.rs)                an actor: one task per room that has players here
//! └── follow (follow.rs)          finds the room's node, pulls from it, goes after it when it moves
//!     └── pull (pull.rs)          one RTMP connection to that node, as a player with a token
//!         └── Intake (intake.rs)  its media on the way into the room
//! ```
//!
//! Epochs are what keeps it honest. A pull is of one epoch; the other node serves that epoch or nothing; whoever learns of a
//! higher one raises the room's fence, and from then on nothing older passes here. A room that is pulled is not served to others:
//! there are no chains, and so no loops.

mod follow;
mod intake;
mod networks;
mod pull;
mod pulls;
mod socket;

use onair_cluster::directory::Directory;
use onair_cluster::relay_token::RelayKey;

pub(crate) use follow::Wiring;
pub use networks::{Network, NetworkError};
pub(crate) use pull::PullEnd;
pub(crate) use pulls::{Pulls, PullsRef};

/// What a node needs to exchange media with others.
pub struct RelayParts {
    /// Where rooms are found.
    pub directory: Directory,
    /// What nodes show each other.
    pub key: RelayKey,
    /// Where others pull from here; see [`crate::bind`]. Without it this node only pulls.
    pub socket: Option<std::net::TcpListener>,
}
