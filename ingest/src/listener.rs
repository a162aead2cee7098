//! Listener: accepts sockets and hands them to the connections' supervisor. Restarted with backoff; nobody is disconnected by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

use crate::admission::Admission;
use crate::connection::Door;
use crate::connections;
use crate::reports::Reports;
use crate::task::TaskGuard;

/// Sockets the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether the peer is still there, and how often it asks; nine times by default.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: most likely the process is out of descriptors, and retrying at once only burns.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the address, as it should be bound: reusable at once after a restart, Nagle off from the first byte on.
///
/// # Errors
/// The operating system's: in use, not ours, not permitted.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    // A player that pauses and then loses its network is written nothing, and would stay for ever.
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What the listener hears: nothing; its task does the work.
pub(crate) enum Msg {
    /// The accept task ended: it never should.
    Stopped,
}

pub(crate) struct Listener {
    pub(crate) socket: Arc<std::net::TcpListener>,
    pub(crate) admission: Admission,
    pub(crate) reports: Reports,
    pub(crate) connections: ActorRef<connections::Msg>,
    pub(crate) door: Door,
}

impl Actor for Listener {
    type Msg = Msg;
    type State = TaskGuard;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Msg>, (): ()) -> Result<TaskGuard, ActorProcessingErr> {
        // A clone of the bound socket: a restarted listener goes on with the same queue, nobody in it is lost.
        let listener = TcpListener::from_std(self.socket.try_clone()?)?;
        let (admission, reports, connections, door) =
            (self.admission.clone(), self.reports.clone(), self.connections.clone(), self.door);
        Ok(TaskGuard::spawn_watched(me, Msg::Stopped, async move {
            accept(&listener, &admission, &reports, &connections, door).await;
        }))
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        _state: &mut TaskGuard,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Stopped => Err("the accept task ended".into()),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    admission: &Admission,
    reports: &Reports,
    connections: &ActorRef<connections::Msg>,
    door: Door,
) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                let at = Instant::now();
                // Its reactor watches it, not this runtime.
                let socket = match socket.into_std() {
                    Ok(socket) => socket,
                    Err(error) => {
                        reports.accept_failed(&error);
                        continue;
                    }
                };
                match admission.admit(address.ip().to_canonical()) {
                    Ok(permit) => {
                        if connections
                            .cast(connections::Msg::Accepted { socket, address, permit, at, door })
                            .is_err()
                        {
                            return;
                        }
                    }
                    Err(full) => reports.turned_away(address, full),
                }
            }
            Err(error) => {
                reports.accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
