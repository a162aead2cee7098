//! The listener of the HTTP face and its bounds.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, dev::Extensions, rt::net::TcpStream, web};

use super::health::Health;
use super::openapi::Document;
use super::{configure, configure_health, frame};
use socket2::SockRef;

use crate::ManagerError;
use crate::config::HttpLimits;
use crate::core::Core;

/// How long requests under way may take once the island stops, in seconds. Longer than one may wait for the Live DB.
const SHUTDOWN_SECONDS: u64 = 5;
/// Without a request for so long, connections that are still open are idle: nobody waits for those.
const CALM: Duration = Duration::from_millis(50);
/// How long a client may leave unread what it was sent. Without it, one that stopped reading would keep its connection, and
/// a place in the event feed, for as long as its host answers probes.
const UNREAD: Duration = Duration::from_secs(30);
/// How long a closing connection may linger.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Binds and configures the whole face; it serves once the returned future is spawned. Must be called on the island.
pub(crate) fn listen(core: &Arc<Core>) -> Result<(Server, SocketAddr), ManagerError> {
    let data = web::Data::from(Arc::clone(core));
    let health = web::Data::new(Health::of(core));
    let document = web::Data::new(Document::of(core));
    serve(core.config.http, core.config.limits, move |app| {
        let app = app.app_data(data.clone()).app_data(health.clone()).app_data(document.clone());
        app.configure(configure);
    })
}

/// The same for health alone, in a process that has no Manager.
pub(crate) fn listen_health(
    addr: SocketAddr,
    limits: HttpLimits,
    health: Health,
) -> Result<(Server, SocketAddr), ManagerError> {
    let health = web::Data::new(health);
    serve(addr, limits, move |app| {
        app.app_data(health.clone()).configure(configure_health);
    })
}

/// From now on connections are refused; returns when every request under way is answered, or has had its time.
pub(crate) async fn stop(core: &Core, server: ServerHandle) {
    tokio::select! {
        () = server.stop(true) => {}
        () = core.under_way.over(CALM) => {}
    }
}

/// Signals are the program's business, not ours.
fn serve(
    addr: SocketAddr,
    limits: HttpLimits,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<(Server, SocketAddr), ManagerError> {
    let workers = limits.workers.max(1);
    let server = HttpServer::new(move || App::new().wrap(from_fn(frame::frame)).configure(routes.clone()))
        .workers(workers)
        .max_connections(limits.connections_max.div_ceil(workers))
        .backlog(limits.backlog)
        .client_request_timeout(limits.head_timeout)
        .client_disconnect_timeout(DISCONNECT)
        .keep_alive(KeepAlive::Timeout(limits.keep_alive))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .on_connect(give_up_on_the_deaf)
        .disable_signals()
        .bind(addr)
        .map_err(|source| ManagerError::Bind { addr, source })?;
    let bound = server.addrs().first().copied().unwrap_or(addr);
    Ok((server.run(), bound))
}

/// TCP_USER_TIMEOUT (RFC 5482; tcp(7)) counts also while the peer's window is closed, where keep-alive does not.
fn give_up_on_the_deaf(connection: &dyn Any, _: &mut Extensions) {
    if let Some(socket) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = SockRef::from(socket).set_tcp_user_timeout(Some(UNREAD))
    {
        tracing::debug!(%error, "a connection without a bound for unread data");
    }
}
