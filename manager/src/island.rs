//! The island: one thread with the actix System, on which the Manager actor lives, and the watchdog over it. Beside them,
//! on threads of their own, the workers of the HTTP face.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use tokio::sync::{Notify, oneshot, watch};

use crate::ManagerError;
use crate::api;
use crate::core::{Core, backoff};
use crate::manager::{Fall, Leave, Manager};
use crate::reports::{ActorFell, IslandGivesUp};

/// Falls of the actor that are survived within [`FALLS_WINDOW`]. One that falls more often meets the same thing each time.
const FALLS_MAX: usize = 5;
const FALLS_WINDOW: Duration = Duration::from_secs(60);
/// The watchdog is woken by the fall itself; it looks this often all the same.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The ends of an island that its handle holds.
pub(crate) struct Shore {
    pub(crate) http: SocketAddr,
    /// Dropped or used, it stops the island.
    pub(crate) stop: oneshot::Sender<()>,
    /// True once the thread is gone.
    pub(crate) ended: watch::Receiver<bool>,
}

/// Starts the thread, and waits until HTTP answers.
pub(crate) async fn spawn(core: Arc<Core>) -> Result<Shore, ManagerError> {
    let (ready, is_ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    let run = move || {
        let _end = End(end);
        actix::System::new().block_on(live(core, ready, stopped));
    };
    std::thread::Builder::new().name("manager".to_owned()).spawn(run).map_err(|_| ManagerError::Thread)?;
    let http = is_ready.await.map_err(|_| ManagerError::Thread)??;
    Ok(Shore { http, stop, ended })
}

/// Says that the thread is gone, also when it panicked.
struct End(watch::Sender<bool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

async fn live(
    core: Arc<Core>,
    ready: oneshot::Sender<Result<SocketAddr, ManagerError>>,
    stopped: oneshot::Receiver<()>,
) {
    let (server, http) = match api::server::listen(&core) {
        Ok(listening) => listening,
        Err(e) => {
            let _ = ready.send(Err(e));
            return;
        }
    };
    let handle = server.handle();
    actix::spawn(server);
    if ready.send(Ok(http)).is_ok() {
        watch_over(&core, stopped).await;
    }
    // Clients of the feed stay for as long as they may; the server would wait for them.
    core.feed.close();
    api::server::stop(&core, handle).await;
    actix::System::current().stop();
}

/// Keeps a Manager actor alive until it is told to stop, or the actor has fallen too often.
async fn watch_over(core: &Arc<Core>, mut stopped: oneshot::Receiver<()>) {
    let mut falls: VecDeque<Instant> = VecDeque::new();
    loop {
        let fell = Arc::new(Notify::new());
        let manager = Manager::new(Arc::clone(core), Fall(Arc::clone(&fell))).start();
        tokio::select! {
            // The handle was dropped or used: both mean stop.
            _ = &mut stopped => {
                let _ = manager.send(Leave).await;
                return;
            }
            () = until_gone(&manager, &fell) => {}
        }
        falls.push_back(Instant::now());
        while falls.front().is_some_and(|at| at.elapsed() > FALLS_WINDOW) {
            falls.pop_front();
        }
        core.note_fall();
        ActorFell { falls: falls.len() }.emit(&core.metrics);
        if falls.len() > FALLS_MAX {
            IslandGivesUp { falls: falls.len() }.emit();
            return;
        }
        tokio::time::sleep(backoff(falls.len() as u32)).await;
    }
}

async fn until_gone(manager: &Addr<Manager>, fell: &Notify) {
    while manager.connected() {
        tokio::select! {
            () = fell.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
