//! The listener of the HTTP face and its bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use super::{configure, frame};
use crate::ManagerError;
use crate::core::Core;

/// How long requests under way may take once the island stops, in seconds.
const SHUTDOWN_SECONDS: u64 = 2;
/// How long a closing connection may linger.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Binds and configures the server; it serves once the returned future is spawned. Must be called on the island.
///
/// Signals are the program's business, not ours.
pub(crate) fn listen(core: &Arc<Core>) -> Result<(Server, SocketAddr), ManagerError> {
    let limits = core.config.limits;
    let addr = core.config.http;
    let data = web::Data::from(Arc::clone(core));
    let workers = limits.workers.max(1);
    let server = HttpServer::new(move || {
        App::new().app_data(data.clone()).wrap(from_fn(frame::frame)).configure(configure)
    })
    .workers(workers)
    .max_connections(limits.connections_max.div_ceil(workers))
    .backlog(limits.backlog)
    .client_request_timeout(limits.head_timeout)
    .client_disconnect_timeout(DISCONNECT)
    .keep_alive(KeepAlive::Timeout(limits.keep_alive))
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(addr)
    .map_err(|source| ManagerError::Bind { addr, source })?;
    let bound = server.addrs().first().copied().unwrap_or(addr);
    Ok((server.run(), bound))
}
