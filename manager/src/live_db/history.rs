//! What is told of the past: broadcasts, and their totals.

use async_trait::async_trait;

use super::{BroadcastFilter, BroadcastRow, LiveDbError, Totals, TotalsOf};

/// Broadcasts on record.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Broadcasts, newest first, after `filter.after`, at most `limit`.
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError>;
    /// What rooms have broadcast so far, also what is forgotten since. Counted as it happens, so that asking is cheap; nothing
    /// for who is not known.
    async fn totals(&self, of: &TotalsOf) -> Result<Totals, LiveDbError>;
}
