//! Who owns which room: ids, live keys, leases and lifecycle events. Knows no RTMP, no HTTP and no database.
//!
//! The tour, in the order a publish meets the files:
//! [`live_key`] verifies the bearer, [`keeper`] claims the room's lease from the [`registry`], the connection holds it
//! as a [`lease::Lease`], and everything that happened leaves the registry as [`events::Event`]s.

pub mod clock;
pub mod directory;
pub mod events;
pub mod ids;
pub mod keeper;
pub mod lease;
pub mod live_key;
pub mod nodes;
pub mod play_token;
pub mod registry;
pub mod relay_token;
pub mod time;
mod token;

pub use events::{Event, EventKind, Facts, SessionCard};
pub use ids::{Epoch, LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard};
pub use registry::{Registry, RegistryError};
pub use time::UnixMs;
pub use token::{Bearer, TokenError};
