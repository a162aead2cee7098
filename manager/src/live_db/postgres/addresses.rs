//! The calls of [`Addresses`]: what is one transaction. The SQL is in [`keys`].

use async_trait::async_trait;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};

use super::{PostgresLiveDb, keys};
use crate::live_db::{Addresses, HoldRow, KeyRow, LiveDbError, NewKey, RoomRow};

#[async_trait]
impl Addresses for PostgresLiveDb {
    async fn ensure_room(
        &self,
        producer: &ProducerId,
        candidate: &RoomId,
        now: UnixMs,
    ) -> Result<RoomRow, LiveDbError> {
        let (producer, candidate) = (producer.clone(), candidate.clone());
        self.transaction(move |c| {
            Box::pin(async move {
                // Nearly always there.
                match keys::room_of(c, &producer).await? {
                    Some(room) => Ok(room),
                    None => keys::ensure_room(c, &producer, &candidate, now).await,
                }
            })
        })
        .await
    }

    async fn room(&self, room: &RoomId) -> Result<Option<RoomRow>, LiveDbError> {
        let room = room.clone();
        self.call(move |c| Box::pin(async move { keys::room(c, &room).await })).await
    }

    async fn add_key(
        &self,
        key: &NewKey,
        in_use: Option<&LiveKeyId>,
        max: usize,
    ) -> Result<Vec<LiveKeyId>, LiveDbError> {
        let (key, in_use) = (key.clone(), in_use.cloned());
        self.transaction(move |c| Box::pin(async move { keys::add(c, &key, in_use.as_ref(), max).await }))
            .await
    }

    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRow>, LiveDbError> {
        let id = id.clone();
        self.call(move |c| Box::pin(async move { keys::key(c, &id).await })).await
    }

    async fn revoke_key(&self, id: &LiveKeyId, now: UnixMs) -> Result<Option<KeyRow>, LiveDbError> {
        let id = id.clone();
        self.transaction(move |c| Box::pin(async move { keys::revoke(c, &id, now).await })).await
    }

    async fn deny_key(&self, record: &KeyRecord, now: UnixMs) -> Result<(), LiveDbError> {
        let record = record.clone();
        self.call(move |c| Box::pin(async move { keys::deny(c, &record, now).await })).await
    }

    async fn keys(
        &self,
        after: Option<&LiveKeyId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<KeyRecord>, LiveDbError> {
        let after = after.cloned();
        self.call(move |c| Box::pin(async move { keys::records(c, after.as_ref(), limit, now).await })).await
    }

    async fn put_hold(&self, room: &RoomId, hold: &Hold, now: UnixMs) -> Result<(), LiveDbError> {
        let (room, hold) = (room.clone(), hold.clone());
        self.call(move |c| Box::pin(async move { keys::put_hold(c, &room, &hold, now).await })).await
    }

    async fn lift_hold(&self, room: &RoomId) -> Result<bool, LiveDbError> {
        let room = room.clone();
        self.call(move |c| Box::pin(async move { keys::lift_hold(c, &room).await })).await
    }

    async fn holds(
        &self,
        after: Option<&RoomId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<HoldRow>, LiveDbError> {
        let after = after.cloned();
        self.call(move |c| Box::pin(async move { keys::holds(c, after.as_ref(), limit, now).await })).await
    }
}
