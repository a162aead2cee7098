//! The calls of [`Addresses`]: which connection each uses, and what is one transaction. The SQL is in [`keys`].

use async_trait::async_trait;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};

use super::{SqliteLiveDb, begin, keys, settle};
use crate::live_db::{Addresses, HoldRow, KeyRow, LiveDbError, NewKey, RoomRow};

#[async_trait]
impl Addresses for SqliteLiveDb {
    async fn ensure_room(
        &self,
        producer: &ProducerId,
        candidate: &RoomId,
        now: UnixMs,
    ) -> Result<RoomRow, LiveDbError> {
        // Nearly always there: no need to wait for the writer.
        let mut reader = self.connections.reader().await?;
        if let Some(room) = keys::room_of(&mut reader, producer).await? {
            return Ok(room);
        }
        drop(reader);
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::ensure_room(&mut tx, producer, candidate, now).await;
        settle(tx, done).await
    }

    async fn room(&self, room: &RoomId) -> Result<Option<RoomRow>, LiveDbError> {
        keys::room(&mut *self.connections.reader().await?, room).await
    }

    async fn add_key(
        &self,
        key: &NewKey,
        in_use: Option<&LiveKeyId>,
        max: usize,
    ) -> Result<Vec<LiveKeyId>, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::add(&mut tx, key, in_use, max).await;
        settle(tx, done).await
    }

    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRow>, LiveDbError> {
        keys::key(&mut *self.connections.reader().await?, id).await
    }

    async fn revoke_key(&self, id: &LiveKeyId, now: UnixMs) -> Result<Option<KeyRow>, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::revoke(&mut tx, id, now).await;
        settle(tx, done).await
    }

    async fn deny_key(&self, record: &KeyRecord, now: UnixMs) -> Result<(), LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::deny(&mut tx, record, now).await;
        settle(tx, done).await
    }

    async fn keys(
        &self,
        after: Option<&LiveKeyId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<KeyRecord>, LiveDbError> {
        keys::records(&mut *self.connections.reader().await?, after, limit, now).await
    }

    async fn put_hold(&self, room: &RoomId, hold: &Hold, now: UnixMs) -> Result<(), LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::put_hold(&mut tx, room, hold, now).await;
        settle(tx, done).await
    }

    async fn lift_hold(&self, room: &RoomId) -> Result<bool, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = keys::lift_hold(&mut tx, room).await;
        settle(tx, done).await
    }

    async fn holds(
        &self,
        after: Option<&RoomId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<HoldRow>, LiveDbError> {
        keys::holds(&mut *self.connections.reader().await?, after, limit, now).await
    }
}
