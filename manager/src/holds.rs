//! Holds: a room that nobody may publish into for a while. In force in the registry, remembered in the Live DB.

use onair_cluster::RoomId;
use onair_cluster::UnixMs;
use onair_cluster::registry::Hold;

use crate::ManagerError;
use crate::core::Core;
use crate::debts::{About, Debt};
use crate::live_db::LiveDbError;
use crate::reports::HoldChanged;

/// Holds `room`, or changes its hold. True if the Live DB knows, too.
pub(crate) async fn put(core: &Core, room: &RoomId, hold: &Hold) -> Result<bool, ManagerError> {
    // What protects comes first, what remembers after it.
    core.note_registry(core.registry.put_hold(room, hold).await)?;
    record(core, room, Some(hold)).await
}

/// Lifts the hold of `room`. `None` if there was none, else whether the Live DB knows, too.
pub(crate) async fn lift(core: &Core, room: &RoomId) -> Result<Option<bool>, ManagerError> {
    if !core.note_registry(core.registry.lift_hold(room).await)? {
        return Ok(None);
    }
    record(core, room, None).await.map(Some)
}

/// Writes the row of a hold that is in force already. What the Live DB does not take now is owed.
pub(crate) async fn record(core: &Core, room: &RoomId, hold: Option<&Hold>) -> Result<bool, ManagerError> {
    let answer = match hold {
        Some(hold) => core.ask_db(core.live_db.put_hold(room, hold, UnixMs::now())).await,
        None => core.ask_db(core.live_db.lift_hold(room)).await.map(|_| ()),
    };
    let is_recorded = match answer {
        Ok(()) => {
            core.debts.forget(&About::HoldRow(room.clone()));
            true
        }
        Err(LiveDbError::Away(_)) => {
            if !core.debts.owe(Debt::HoldRow(room.clone(), hold.cloned())) {
                return Err(ManagerError::TooMuchOwed);
            }
            false
        }
        Err(e) => return Err(e.into()),
    };
    HoldChanged { room, hold, is_recorded }.emit();
    Ok(is_recorded)
}
