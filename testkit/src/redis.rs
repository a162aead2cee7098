//! Redis in any topology: one server, a primary with replicas under Sentinel, a Cluster.
//!
//! All are Debian's `redis-server` (7.0 or newer) as children, each on its own port and in its own directory. The kit's own
//! commands go through a unix socket beside the port, so they need no TLS and pass any proxy by.

mod cluster;
mod options;
mod replicated;
mod resp;
mod server;
mod single;

pub use crate::tls::write_certificates;
pub use cluster::Cluster;
pub use options::Options;
pub use replicated::Replicated;
pub use resp::Value;
pub use server::Server;
pub use single::Redis;
