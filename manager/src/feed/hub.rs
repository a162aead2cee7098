//! Hub: the one task of a Manager that reads the outbox for all clients of the feed. A child of the Manager actor; what it has
//! read is in [`Feed`](super::Feed), where it goes on after a fall.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::Shard;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::reports::{EventRead, FeedRestarted, RowUnreadable};
use super::{Positions, Told, rows_after};
use crate::core::Core;
use crate::live_db::{FeedSpan, LiveDbError, OutboxRow};

/// It looks this often without being woken: bells are lossy.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// From one read to the next at least: under load a look finds many messages, not each of them one; and clients have the time
/// to take what was read before it leaves the window.
const GAP: Duration = Duration::from_millis(5);
/// Messages in one read, over all shards; and never more than a quarter of the window.
const ROWS_MAX: usize = 512;
/// Messages of each shard that the window begins with, so that who comes back after a restart of this Manager mostly finds
/// what it is missing there.
const RECENT: u64 = 16;

/// Runs for as long as the actor does.
pub(crate) async fn run(core: Arc<Core>) {
    let mut bell = core.registry.stored_bell();
    loop {
        bell.borrow_and_update();
        let looked = look(&core).await;
        if looked.is_err() {
            // Noted where it was asked. Clients stay; nothing is passed over.
            sleep(LOOK_EVERY).await;
        } else if let Ok(Err(_)) = timeout(LOOK_EVERY, bell.changed()).await {
            // Nobody rings any more.
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Reads until there is nothing new.
async fn look(core: &Core) -> Result<(), LiveDbError> {
    let spans = core.ask_db(core.live_db.feed_span()).await?;
    let last = of_spans(&spans, |span| span.last);
    match core.feed.with_window(|window| window.head().clone()) {
        None => {
            let recent =
                |span: &FeedSpan| span.last.saturating_sub(RECENT).max(span.first_kept.saturating_sub(1));
            core.feed.open(of_spans(&spans, recent));
            core.feed.ring();
        }
        Some(head) => {
            if let Some(shard) = last.behind(&head).next() {
                restart(core, shard, head.of(shard), &last);
                return Ok(());
            }
        }
    }
    let rows_max = ROWS_MAX.min(core.feed.limits.window_events_max / 4);
    loop {
        let began = Instant::now();
        let Some(head) = core.feed.with_window(|window| window.head().clone()) else { return Ok(()) };
        let moved: Vec<Shard> = head.behind(&last).collect();
        let Some(some) = moved.first() else { return Ok(()) };
        let rows = rows_after(core, &head, &moved, (rows_max / moved.len()).max(1)).await?;
        if rows.is_empty() {
            restart(core, *some, head.of(*some), &last);
            return Ok(());
        }
        if let Err((shard, read)) = take(core, &rows) {
            restart(core, shard, read, &last);
            return Ok(());
        }
        core.feed.ring();
        sleep_until(began + GAP).await;
    }
}

/// Puts messages into the window. Fails at one that does not follow the one before.
fn take(core: &Core, rows: &[OutboxRow]) -> Result<(), (Shard, u64)> {
    for row in rows {
        let told = Told::of(&core.feed.source, row);
        let taken = core.feed.with_window(|window| {
            let read = window.head().of(row.shard);
            if row.seq != read + 1 {
                return Err((row.shard, read));
            }
            match told {
                Some(told) => {
                    window.push(told);
                    EventRead { written_at: row.created_at }.emit(&core.metrics.feed);
                }
                None => {
                    window.skip(row.shard, row.seq);
                    RowUnreadable { shard: row.shard, seq: row.seq, event_id: &row.event_id }
                        .emit(&core.metrics.feed);
                }
            }
            Ok(())
        });
        taken.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Begins anew at what the Live DB has now.
fn restart(core: &Core, shard: Shard, read: u64, last: &Positions) {
    FeedRestarted { shard, read, found: last.of(shard) }.emit(&core.metrics.feed);
    core.feed.with_window(|window| window.restart(last.clone()));
    core.feed.ring();
}

fn of_spans(spans: &[FeedSpan], which: impl Fn(&FeedSpan) -> u64) -> Positions {
    let mut positions = Positions::START;
    for span in spans {
        positions.advance(span.shard, which(span));
    }
    positions
}
