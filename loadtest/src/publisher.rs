//! Publisher: one synthetic broadcast in real time, until it is told to stop or the server ends it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::address::Address;
use crate::client::{Client, ClientError, Want};
use crate::media::{Broadcast, Shape};

/// What became of a publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// From before the connect to `NetStream.Publish.Start`.
    pub started_after: Duration,
    /// Pictures sent.
    pub pictures: u64,
}

/// Publishes until `stop` turns true, then unpublishes.
///
/// # Errors
/// When the server refuses or ends the broadcast before that.
pub async fn publish(
    address: &Address,
    shape: Shape,
    mut stop: watch::Receiver<bool>,
) -> Result<Published, ClientError> {
    let mut client = Client::start(address, Want::Publish, None).await?;
    let mut published = Published { started_after: client.started_after(), pictures: 0 };
    let mut broadcast = Broadcast::new(shape);
    client.send(&Broadcast::headers()).await?;
    let mut tick = tokio::time::interval(shape.interval());
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = tick.tick() => {
                client.send(&broadcast.next_picture()).await?;
                published.pictures += 1;
            }
            step = client.step(|_| {}) => step?,
        }
    }
    client.unpublish().await?;
    Ok(published)
}

/// Resolves when `stop` is true, or can no longer become so.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}
