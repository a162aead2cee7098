//! A single Redis.

use std::ops::Deref;

use super::options::Options;
use super::server::Server;

/// One server; it is a [`Server`].
#[derive(Debug)]
pub struct Redis(Server);

impl Redis {
    /// With the default options.
    pub fn start() -> Self {
        Self::with(&Options::new())
    }

    /// With these options.
    pub fn with(options: &Options) -> Self {
        Self(Server::start("redis-server", options, &[]))
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
