//! Revoking a live key: the Live DB first, then the registry, which cuts what is on air with it in the same step.

use onair_cluster::events::EndReason;
use onair_cluster::registry::{KeyRecord, Order};
use onair_cluster::{LiveKeyId, RoomId, UnixMs};

use crate::ManagerError;
use crate::core::Core;
use crate::debts::{About, Debt};
use crate::live_db::LiveDbError;
use crate::reports::KeyRevoked;

/// What came of revoking a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Live DB and registry know.
    Recorded,
    /// One of them knows; the other is told as soon as it answers.
    Owed,
    /// No such key.
    Unknown,
}

/// Revokes a key. With the Live DB away the registry knows at once, and the row follows.
pub(crate) async fn revoke(core: &Core, id: &LiveKeyId) -> Result<Revocation, ManagerError> {
    let now = UnixMs::now();
    let revocation = match core.ask_db(core.live_db.revoke_key(id, now)).await {
        Ok(Some(row)) => {
            core.debts.forget(&About::KeyRow(id.clone()));
            match core.note_registry(core.registry.revoke(id).await) {
                Ok(true) => Revocation::Recorded,
                Ok(false) => {
                    cut_what_outlived_its_key(core, &row.key.room_id, id).await?;
                    Revocation::Recorded
                }
                Err(_) => owe(core, Debt::KeyRecord(id.clone()))?,
            }
        }
        // Not one of ours; but one that another issuer's claim has put on record.
        Ok(None) => match core.note_registry(core.registry.key(id).await)? {
            Some(record) => return deny(core, &record).await,
            None => Revocation::Unknown,
        },
        Err(away @ LiveDbError::Away(_)) => {
            if !core.note_registry(core.registry.revoke(id).await)? {
                // Nobody who answers knows it: that is not "no such key".
                return Err(away.into());
            }
            owe(core, Debt::KeyRow(id.clone(), now))?
        }
        Err(e) => return Err(e.into()),
    };
    if revocation != Revocation::Unknown {
        let is_recorded = revocation == Revocation::Recorded;
        KeyRevoked { live_key_id: id, is_recorded }.emit(&core.metrics);
    }
    Ok(revocation)
}

/// Refuses a key of another issuer until its record may be forgotten, seen or never seen, and cuts what is on air with it.
/// The Live DB comes first here too: a registry that loses its memory would let the key in again.
pub(crate) async fn deny(core: &Core, record: &KeyRecord) -> Result<Revocation, ManagerError> {
    let record = KeyRecord { revoked: true, ..record.clone() };
    let id = &record.live_key_id;
    let row = match core.ask_db(core.live_db.deny_key(&record, UnixMs::now())).await {
        Ok(()) => Revocation::Recorded,
        Err(LiveDbError::Away(_)) => owe(core, Debt::DenialRow(record.clone()))?,
        Err(e) => return Err(e.into()),
    };
    let revocation = match core.note_registry(core.registry.put_key(&record).await) {
        Ok(()) => row,
        // One of the two must know, or nobody does.
        Err(e) if row == Revocation::Owed => {
            core.debts.forget(&About::DenialRow(id.clone()));
            return Err(e.into());
        }
        Err(_) => owe(core, Debt::Record(record.clone()))?,
    };
    KeyRevoked { live_key_id: id, is_recorded: revocation == Revocation::Recorded }.emit(&core.metrics);
    Ok(revocation)
}

/// A key's expiry gates the start of a session, not its end: so the registry may have forgotten a key that is still on air.
async fn cut_what_outlived_its_key(core: &Core, room: &RoomId, id: &LiveKeyId) -> Result<(), ManagerError> {
    let lease = core.note_registry(core.registry.lease(room).await)?;
    if lease.is_some_and(|lease| lease.card.live_key_id == *id) {
        let order = Order { reason: EndReason::Revoked, note: String::new() };
        core.note_registry(core.registry.order(room, &order).await)?;
    }
    Ok(())
}

fn owe(core: &Core, debt: Debt) -> Result<Revocation, ManagerError> {
    if core.debts.owe(debt) { Ok(Revocation::Owed) } else { Err(ManagerError::TooMuchOwed) }
}
