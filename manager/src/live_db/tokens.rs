//! API tokens on record: who may ask the API, as what, until when. Of a token itself only the SHA-256 hash is kept.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use onair_cluster::UnixMs;

use super::LiveDbError;
use crate::role::Role;

/// A token's name in tables, logs and paths: 16 hexadecimal digits. No secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// A new one. 64 random bits: tokens are told apart by it, not protected by it.
    pub fn random() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not an id of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token id is 16 hexadecimal digits")]
pub struct NoTokenId;

impl FromStr for TokenId {
    type Err = NoTokenId;
    fn from_str(text: &str) -> Result<Self, NoTokenId> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 16 && text.bytes().all(is_hex) { Ok(Self(text.to_owned())) } else { Err(NoTokenId) }
    }
}

/// A token to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub token_id: TokenId,
    /// What people call it.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// SHA-256 of the token. Of 256 random bits there is nothing to guess, so it needs neither salt nor slowness.
    pub hash: [u8; 32],
    /// Now.
    pub created_at: UnixMs,
    /// When it ends, if it does.
    pub expires_at: Option<UnixMs>,
}

/// A token on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// As it was made.
    pub token: NewToken,
    /// Since when it is revoked.
    pub revoked_at: Option<UnixMs>,
    /// When it was last borne, to within a minute or so.
    pub last_used_at: Option<UnixMs>,
}

/// Tokens on record.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// Records a token, unless there are `max` valid ones (neither revoked nor expired). False then.
    async fn add_token(&self, token: &NewToken, max: usize) -> Result<bool, LiveDbError>;
    /// Marks a token as revoked, unless it is already. Returns it as it is then.
    async fn revoke_token(&self, id: &TokenId, now: UnixMs) -> Result<Option<TokenRow>, LiveDbError>;
    /// All tokens, by id after `after`, at most `limit`.
    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<TokenRow>, LiveDbError>;
    /// The valid ones. Never more than [`Self::add_token`] lets in.
    async fn valid_tokens(&self, now: UnixMs) -> Result<Vec<NewToken>, LiveDbError>;
    /// Notes when tokens were last borne. An older time changes nothing.
    async fn note_token_uses(&self, uses: &[(TokenId, UnixMs)]) -> Result<(), LiveDbError>;
}
