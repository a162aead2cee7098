//! Player: watches one room and notes what is missing and how late it is.

use std::time::{Duration, Instant};

use onair_codec::{ClientEvent, Media};
use tokio::sync::watch;

use crate::address::Address;
use crate::client::{Client, ClientError, Want};
use crate::media::read_stamp;
use crate::publisher::stopped;

/// What a player saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// From the server's `NetStream.Play.Start` to the first picture.
    pub first_picture_after: Option<Duration>,
    /// Pictures received.
    pub pictures: u64,
    /// Pictures that never came, between the first and the last that did.
    pub lost: u64,
    /// How long each picture was under way; one in ten is kept.
    pub ages: Vec<Duration>,
    last: Option<u64>,
}

impl Seen {
    fn note(&mut self, media: &Media, since_start: Duration) {
        let Some(stamp) = read_stamp(media) else { return };
        self.first_picture_after.get_or_insert(since_start);
        self.pictures += 1;
        if let Some(last) = self.last {
            self.lost += stamp.number.saturating_sub(last + 1);
        }
        self.last = Some(stamp.number);
        if self.pictures.is_multiple_of(10) {
            self.ages.push(stamp.age);
        }
    }
}

/// Plays until `stop` turns true or the server ends it.
///
/// # Errors
/// When the server cannot be reached, refuses, or closes before that.
pub async fn play(address: &Address, mut stop: watch::Receiver<bool>) -> Result<Seen, ClientError> {
    let mut client = Client::start(address, Want::Play, None).await?;
    let began = Instant::now();
    let mut seen = Seen::default();
    loop {
        let mut ended = false;
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(seen),
            step = client.step(|event| match event {
                ClientEvent::Media(media) => seen.note(&media, began.elapsed()),
                ClientEvent::Ended { .. } => ended = true,
                _ => {}
            }) => step?,
        }
        if ended {
            return Ok(seen);
        }
    }
}
