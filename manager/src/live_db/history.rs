//! What is told of the past: broadcasts.

use async_trait::async_trait;

use super::{BroadcastFilter, BroadcastRow, LiveDbError};

/// Broadcasts on record.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Broadcasts, newest first, after `filter.after`, at most `limit`.
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError>;
}
