//! API tokens in SQLite.

use async_trait::async_trait;
use onair_cluster::UnixMs;
use sqlx::SqliteConnection;

use super::columns::{array, limit, ms};
use super::{SqliteLiveDb, begin, failure, settle};
use crate::live_db::{LiveDbError, NewToken, TokenId, TokenRow, Tokens, parse};

#[async_trait]
impl Tokens for SqliteLiveDb {
    async fn add_token(&self, token: &NewToken, max: usize) -> Result<bool, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = add(&mut tx, token, max).await;
        settle(tx, done).await
    }

    async fn revoke_token(&self, id: &TokenId, now: UnixMs) -> Result<Option<TokenRow>, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let row = sqlx::query(
            "UPDATE api_token SET revoked_at = coalesce(revoked_at, ?2) WHERE token_id = ?1 RETURNING *",
        )
        .bind(id.as_str())
        .bind(ms(now)?)
        .fetch_optional(&mut *writer)
        .await
        .map_err(failure)?;
        row.as_ref().map(parse::token).transpose()
    }

    async fn tokens(&self, after: Option<&TokenId>, max: usize) -> Result<Vec<TokenRow>, LiveDbError> {
        let rows = sqlx::query("SELECT * FROM api_token WHERE token_id > ?1 ORDER BY token_id LIMIT ?2")
            .bind(after.map_or("", TokenId::as_str))
            .bind(limit(max))
            .fetch_all(&mut *self.connections.reader().await?)
            .await
            .map_err(failure)?;
        rows.iter().map(parse::token).collect()
    }

    async fn valid_tokens(&self, now: UnixMs) -> Result<Vec<NewToken>, LiveDbError> {
        let rows = sqlx::query(
            "SELECT * FROM api_token WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1)",
        )
        .bind(ms(now)?)
        .fetch_all(&mut *self.connections.reader().await?)
        .await
        .map_err(failure)?;
        rows.iter().map(|row| parse::token(row).map(|row| row.token)).collect()
    }

    async fn note_token_uses(&self, uses: &[(TokenId, UnixMs)]) -> Result<(), LiveDbError> {
        let pairs: Vec<(&str, u64)> = uses.iter().map(|(id, at)| (id.as_str(), at.0)).collect();
        sqlx::query(
            "UPDATE api_token SET last_used_at = used.at \
             FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?1)) AS used \
             WHERE api_token.token_id = used.id AND coalesce(api_token.last_used_at, 0) < used.at",
        )
        .bind(array(&pairs)?)
        .execute(&mut *self.connections.writer().await?)
        .await
        .map_err(failure)?;
        Ok(())
    }
}

async fn add(c: &mut SqliteConnection, token: &NewToken, max: usize) -> Result<bool, LiveDbError> {
    let done = sqlx::query(
        "INSERT INTO api_token (token_id, name, role, hash, created_at, expires_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM api_token \
         WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?5)) < ?7",
    )
    .bind(token.token_id.as_str())
    .bind(token.name.as_str())
    .bind(token.role.name())
    .bind(token.hash.as_slice())
    .bind(ms(token.created_at)?)
    .bind(token.expires_at.map(ms).transpose()?)
    .bind(limit(max))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(done.rows_affected() > 0)
}
