//! Ending what is on air: the order goes to the registry at once, and is asked again until the session has ended.

use std::collections::HashMap;
use std::future::ready;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use onair_cluster::events::EndReason;
use onair_cluster::registry::{Hold, LeaseView, Order};
use onair_cluster::{RoomId, SessionId, UnixMs};
use parking_lot::Mutex;

use crate::ManagerError;
use crate::core::Core;
use crate::holds;
use crate::reports::{EndAsked, EndOverdue, EndsSeen};

/// What came of asking a room to end.
pub(crate) struct Ending {
    /// Who was told; `None` when nobody is live.
    pub(crate) told: Option<LeaseView>,
    /// The hold that is in force now, if one was asked for.
    pub(crate) hold: Option<Hold>,
}

/// Sessions that were told to end and have not. One for each room, so no more than rooms on air.
#[derive(Debug, Default)]
pub(crate) struct Asks(Mutex<HashMap<RoomId, Ask>>);

#[derive(Clone, Debug)]
struct Ask {
    session_id: SessionId,
    order: Order,
    since: UnixMs,
    is_overdue: bool,
}

/// After this a session that was told to end is spoken of. Longer than a dead node's lease lasts.
const OVERDUE: Duration = Duration::from_secs(15);
/// Sessions that are looked at together.
const LOOKS_AT_ONCE: usize = 64;

/// Tells the session that holds `room` to end, after putting `hold` into force, if there is one. Nothing of this waits
/// for the Live DB, except the row of the hold, which comes last and may be owed.
pub(crate) async fn end(
    core: &Core,
    room: &RoomId,
    note: &str,
    hold: Option<Hold>,
) -> Result<Ending, ManagerError> {
    // First, so that an encoder that reconnects within milliseconds finds it.
    if let Some(hold) = &hold {
        core.note_registry(core.registry.put_hold(room, hold).await)?;
    }
    let order = Order { reason: EndReason::EndedByApi, note: note.to_owned() };
    let told = core.note_registry(core.registry.order(room, &order).await)?;
    let session = told.as_ref().map(|lease| lease.card.session_id);
    let outstanding = {
        let mut asks = core.asks.0.lock();
        if let Some(session_id) = session {
            let ask = Ask { session_id, order, since: UnixMs::now(), is_overdue: false };
            asks.insert(room.clone(), ask);
        }
        asks.len()
    };
    EndAsked { room, session, note, outstanding }.emit(&core.metrics);
    if let Some(hold) = &hold {
        holds::record(core, room, Some(hold)).await?;
    }
    Ok(Ending { told, hold })
}

/// Looks at every session that was told to end, at most [`LOOKS_AT_ONCE`] together. Where the registry has lost the order it
/// gets it again.
///
/// An order is for a room, not for a session: so it is repeated only while the lease is still that session's and shows no
/// order, never on suspicion. As long as the order stands, the next renewal finds it, whatever becomes of doorbells.
pub(crate) async fn ask_again(core: &Core) {
    let asks: Vec<(RoomId, Ask)> = core.asks.0.lock().iter().map(|(r, a)| (r.clone(), a.clone())).collect();
    if asks.is_empty() {
        return;
    }
    let looks = asks.iter().map(|(room, ask)| look(core, room, ask));
    let ended = iter(looks).buffer_unordered(LOOKS_AT_ONCE).filter(|is_ended| ready(*is_ended)).count().await;
    EndsSeen { ended, outstanding: core.asks.0.lock().len() }.emit(&core.metrics);
}

/// Whether that session has ended. One that cannot be looked at now is looked at again in a second.
async fn look(core: &Core, room: &RoomId, ask: &Ask) -> bool {
    let Ok(lease) = core.note_registry(core.registry.lease(room).await) else { return false };
    let Some(lease) = lease.filter(|lease| lease.card.session_id == ask.session_id) else {
        forget(core, room, ask.session_id);
        return true;
    };
    if lease.order.is_none() {
        let _ = core.note_registry(core.registry.order(room, &ask.order).await);
    }
    if !ask.is_overdue && UnixMs::now().since(ask.since) > OVERDUE.as_millis() as u64 {
        EndOverdue { room, session: ask.session_id, since: ask.since }.emit();
        if let Some(ask) = core.asks.0.lock().get_mut(room) {
            ask.is_overdue = true;
        }
    }
    false
}

/// Unless a newer session of the room was told to end meanwhile.
fn forget(core: &Core, room: &RoomId, session_id: SessionId) {
    let mut asks = core.asks.0.lock();
    if asks.get(room).is_some_and(|ask| ask.session_id == session_id) {
        asks.remove(room);
    }
}
