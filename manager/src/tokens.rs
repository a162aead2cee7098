//! API tokens: made here, known here. What the gate checks is a copy in memory of the valid ones, read again every two seconds
//! and whenever a token comes that is not in it, so that tokens are good while the Live DB is away, and one that was revoked on
//! any Manager is no longer good anywhere two seconds later.
//!
//! Form: `onair_<id>_<secret>`, 16 and 64 hexadecimal digits. The prefix lets scanners of leaked secrets find it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use onair_cluster::UnixMs;
use parking_lot::{Mutex, RwLock};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::ManagerError;
use crate::caller::Caller;
use crate::core::Core;
use crate::gate::Refusal;
use crate::live_db::{NewToken, TokenId, TokenRow};
use crate::reports::{TokenMade, TokenRevoked};
use crate::role::Role;

/// Valid tokens of a cluster. All of them are in the memory of every Manager.
pub(crate) const VALID_MAX: usize = 1_000;
/// Between two readings.
const REFRESH: Duration = Duration::from_secs(2);
/// A token that is not in memory has it read again at most so often, whoever comes with how many.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long such a token waits for that.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);
/// Readings between two notes of when tokens were used.
const NOTE_EVERY: u64 = 15;
const PREFIX: &str = "onair_";

/// The copy in memory.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    state: RwLock<State>,
    /// Held while the copy is read, so that an older one never takes the place of a newer.
    reading: tokio::sync::Mutex<()>,
    /// When tokens were used since the last note. Only known ones, so no more than those.
    uses: Mutex<HashMap<TokenId, UnixMs>>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<TokenId, NewToken>,
    /// When the copy was read; never, while the Live DB has not answered since the start.
    read_at: Option<Instant>,
}

/// A token just made. Shown once.
pub(crate) struct Made {
    pub(crate) token: NewToken,
    pub(crate) secret: String,
}

/// Makes a token, unless there are too many. The Live DB must answer.
pub(crate) async fn make(
    core: &Core,
    name: String,
    role: Role,
    lifetime: Option<Duration>,
) -> Result<Option<Made>, ManagerError> {
    let (token_id, now) = (TokenId::random(), UnixMs::now());
    let random = [rand::random::<u128>(), rand::random::<u128>()];
    let secret = format!("{PREFIX}{token_id}_{:032x}{:032x}", random[0], random[1]);
    let expires_at = lifetime.map(|lifetime| now.plus(lifetime));
    let token =
        NewToken { token_id, name, role, hash: hash_of(secret.as_bytes()), created_at: now, expires_at };
    if !core.ask_db(core.live_db.add_token(&token, VALID_MAX)).await? {
        return Ok(None);
    }
    read(core, Duration::ZERO).await;
    TokenMade { token: &token }.emit();
    Ok(Some(Made { token, secret }))
}

/// Revokes a token; here it is no longer good when this returns.
pub(crate) async fn revoke(core: &Core, id: &TokenId) -> Result<Option<TokenRow>, ManagerError> {
    let row = core.ask_db(core.live_db.revoke_token(id, UnixMs::now())).await?;
    if let Some(row) = &row {
        core.tokens.state.write().known.remove(id);
        read(core, Duration::ZERO).await;
        TokenRevoked { token: &row.token }.emit();
    }
    Ok(row)
}

/// Whose token this is. `None` if it has not the form of an API token.
pub(crate) async fn identify(core: &Core, token: &[u8]) -> Option<Result<Caller, Refusal>> {
    let id = id_of(token)?;
    if !core.tokens.knows(&id) && core.is_live_db_up() {
        // Perhaps made a moment ago on another Manager. Whoever waits here waits for one reading, not for one each.
        let _ = timeout(LOOK_PATIENCE, read(core, LOOK_AGAIN)).await;
    }
    Some(core.tokens.check(&id, token))
}

impl TokenCache {
    fn knows(&self, id: &TokenId) -> bool {
        self.state.read().known.contains_key(id)
    }

    fn check(&self, id: &TokenId, token: &[u8]) -> Result<Caller, Refusal> {
        let now = UnixMs::now();
        let state = self.state.read();
        if state.read_at.is_none() {
            return Err(Refusal::Unknowable);
        }
        let known = state.known.get(id).filter(|known| {
            // In the same time, wherever the two differ.
            verify_slices_are_equal(&hash_of(token), &known.hash).is_ok()
        });
        let known =
            known.ok_or_else(|| Refusal::Invalid("this token is not known, or was revoked".to_owned()))?;
        if known.expires_at.is_some_and(|at| at <= now) {
            return Err(Refusal::Invalid("this token has expired".to_owned()));
        }
        self.uses.lock().insert(id.clone(), now);
        Ok(Caller::ApiToken { token_id: id.to_string(), name: known.name.clone(), role: known.role })
    }
}

/// Reads the valid tokens, unless that was done less than `fresh` ago. Unanswered, what is known stays.
pub(crate) async fn read(core: &Core, fresh: Duration) {
    let _reading = core.tokens.reading.lock().await;
    let began = Instant::now();
    let is_fresh = |at: Instant| began.saturating_duration_since(at) < fresh;
    if core.tokens.state.read().read_at.is_some_and(is_fresh) {
        return;
    }
    if let Ok(valid) = core.ask_db(core.live_db.valid_tokens(UnixMs::now())).await {
        let known = valid.into_iter().map(|token| (token.token_id.clone(), token)).collect();
        *core.tokens.state.write() = State { known, read_at: Some(began) };
    }
}

/// Reads them again and again, and notes their uses. A child of the Manager actor.
pub(crate) async fn keep(core: Arc<Core>) {
    let mut tick = interval(REFRESH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count: u64 = 0;
    loop {
        tick.tick().await;
        read(&core, Duration::ZERO).await;
        count += 1;
        if count.is_multiple_of(NOTE_EVERY) {
            note_uses(&core).await;
        }
    }
}

async fn note_uses(core: &Core) {
    let uses: Vec<_> = core.tokens.uses.lock().drain().collect();
    if uses.is_empty() || core.ask_db(core.live_db.note_token_uses(&uses)).await.is_ok() {
        return;
    }
    // Once more next time, unless they were used again meanwhile.
    let mut open = core.tokens.uses.lock();
    for (id, at) in uses {
        open.entry(id).or_insert(at);
    }
    // Those that were revoked since are not worth keeping.
    let state = core.tokens.state.read();
    open.retain(|id, _| state.known.contains_key(id));
}

fn id_of(token: &[u8]) -> Option<TokenId> {
    let rest = std::str::from_utf8(token).ok()?.strip_prefix(PREFIX)?;
    let (id, secret) = rest.split_once('_')?;
    (secret.len() == 64).then_some(())?;
    id.parse().ok()
}

fn hash_of(token: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_form_and_nothing_else_is() {
        let id = TokenId::random();
        let secret = "0".repeat(64);
        assert_eq!(id_of(format!("onair_{id}_{secret}").as_bytes()), Some(id.clone()));
        for other in [
            format!("onair_{id}_{secret}0"),
            format!("onair_{id}"),
            format!("Onair_{id}_{secret}"),
            format!("onair_xyz_{secret}"),
            String::new(),
        ] {
            assert_eq!(id_of(other.as_bytes()), None, "{other}");
        }
    }
}
