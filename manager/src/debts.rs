//! Debts: changes that are in force already, but that the Live DB (or the registry) could not be told of. Tried every
//! second until they are recorded. In memory: a debt that is open when the process is killed is lost, which is why the API
//! answers 202, not 204, when it leaves one.

use std::collections::BTreeMap;

use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{LiveKeyId, RoomId, UnixMs};
use parking_lot::Mutex;

use crate::core::Core;
use crate::live_db::LiveDbError;
use crate::reports::RowsOwed;

/// A change that somebody has yet to be told of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Debt {
    /// The Live DB: the key is revoked since then.
    KeyRow(LiveKeyId, UnixMs),
    /// The registry: the key is revoked.
    KeyRecord(LiveKeyId),
    /// The Live DB: this key of another issuer is denied.
    DenialRow(KeyRecord),
    /// The registry: the record of this key.
    Record(KeyRecord),
    /// The Live DB: the room is held, or free.
    HoldRow(RoomId, Option<Hold>),
}

/// What a debt is about. One about each thing: the last change wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    KeyRow(LiveKeyId),
    KeyRecord(LiveKeyId),
    DenialRow(LiveKeyId),
    Record(LiveKeyId),
    HoldRow(RoomId),
}

impl Debt {
    fn about(&self) -> About {
        match self {
            Self::KeyRow(id, _) => About::KeyRow(id.clone()),
            Self::KeyRecord(id) => About::KeyRecord(id.clone()),
            Self::DenialRow(record) => About::DenialRow(record.live_key_id.clone()),
            Self::Record(record) => About::Record(record.live_key_id.clone()),
            Self::HoldRow(room, _) => About::HoldRow(room.clone()),
        }
    }

    /// Tells who must be told. False if they do not answer; what they refuse, they would refuse again.
    async fn pay(&self, core: &Core) -> bool {
        let answer = match self {
            Self::KeyRecord(id) => return core.note_registry(core.registry.revoke(id).await).is_ok(),
            Self::Record(record) => {
                return core.note_registry(core.registry.put_key(record).await).is_ok();
            }
            Self::DenialRow(record) => core.ask_db(core.live_db.deny_key(record, UnixMs::now())).await,
            Self::KeyRow(id, at) => core.ask_db(core.live_db.revoke_key(id, *at)).await.map(|_| ()),
            Self::HoldRow(room, Some(hold)) => {
                core.ask_db(core.live_db.put_hold(room, hold, UnixMs::now())).await
            }
            Self::HoldRow(room, None) => core.ask_db(core.live_db.lift_hold(room)).await.map(|_| ()),
        };
        !matches!(answer, Err(LiveDbError::Away(_)))
    }
}

/// All that is owed.
#[derive(Debug, Default)]
pub(crate) struct Debts(Mutex<BTreeMap<About, Debt>>);

impl Debts {
    /// Beyond this the API refuses changes rather than promise what memory may not keep.
    const MAX: usize = 10_000;

    /// Notes a debt. False when there are too many.
    #[must_use]
    pub(crate) fn owe(&self, debt: Debt) -> bool {
        let mut debts = self.0.lock();
        let about = debt.about();
        if debts.len() >= Self::MAX && !debts.contains_key(&about) {
            return false;
        }
        debts.insert(about, debt);
        true
    }

    /// A newer change about the same thing was recorded.
    pub(crate) fn forget(&self, about: &About) {
        self.0.lock().remove(about);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn is_open(&self, debt: &Debt) -> bool {
        self.0.lock().get(&debt.about()) == Some(debt)
    }

    fn settle(&self, debt: &Debt) {
        let mut debts = self.0.lock();
        let about = debt.about();
        if debts.get(&about) == Some(debt) {
            debts.remove(&about);
        }
    }
}

/// Pays what can be paid; stops at the first that cannot.
pub(crate) async fn pay(core: &Core) {
    let owed: Vec<Debt> = core.debts.0.lock().values().cloned().collect();
    for debt in owed {
        // A newer change may have been recorded since the list was made.
        if !core.debts.is_open(&debt) {
            continue;
        }
        if !debt.pay(core).await {
            break;
        }
        core.debts.settle(&debt);
    }
    RowsOwed { rows: core.debts.len() }.emit(&core.metrics);
}
