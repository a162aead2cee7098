//! Revoking a live key: the Live DB first, then the registry, which cuts what is on air with it in the same step.

use onair_cluster::{LiveKeyId, UnixMs};

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
        Ok(Some(_)) => {
            core.debts.forget(&About::KeyRow(id.clone()));
            match core.note_registry(core.registry.revoke(id).await) {
                // False: the registry has forgotten a key that has expired.
                Ok(_) => Revocation::Recorded,
                Err(_) => owe(core, Debt::KeyRecord(id.clone()))?,
            }
        }
        // Not one of ours; the registry may know it all the same.
        Ok(None) if core.note_registry(core.registry.revoke(id).await)? => Revocation::Recorded,
        Ok(None) => Revocation::Unknown,
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

fn owe(core: &Core, debt: Debt) -> Result<Revocation, ManagerError> {
    if core.debts.owe(debt) { Ok(Revocation::Owed) } else { Err(ManagerError::TooMuchOwed) }
}
