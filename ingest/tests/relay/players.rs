//! What players see: media until a picture, refusals, endings.

use onair_codec::{ClientEvent, Media, MediaKind};
use onair_loadtest::address::Address;
use onair_loadtest::client::{Client, ClientError, Want};
use onair_loadtest::media::read_stamp;

use crate::cluster::PATIENCE;

/// Everything a player gets until it has seen picture `number`.
pub(crate) async fn watch_until(player: &mut Client, number: u64) -> Vec<Media> {
    let mut seen: Vec<Media> = Vec::new();
    let is_there = |seen: &[Media]| {
        let last = seen.iter().rev().find_map(read_stamp);
        last.is_some_and(|stamp| stamp.number >= number)
    };
    let wait = async {
        while !is_there(&seen) {
            let step = player.step(|event| {
                if let ClientEvent::Media(media) = event {
                    seen.push(media);
                }
            });
            step.await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    seen
}

pub(crate) fn pictures_of(seen: &[Media]) -> Vec<u64> {
    seen.iter().filter_map(read_stamp).map(|stamp| stamp.number).collect()
}

/// Sound and pictures up to the last picture: what of two players' media can be compared.
pub(crate) fn media_of(seen: &[Media]) -> Vec<(MediaKind, u32, Vec<u8>)> {
    let last = seen.iter().rposition(|media| media.kind == MediaKind::Video).map_or(0, |at| at + 1);
    seen[..last]
        .iter()
        .filter(|media| media.kind != MediaKind::Data)
        .map(|media| (media.kind, media.timestamp.0, media.payload.to_vec()))
        .collect()
}

pub(crate) async fn refusal(address: &Address) -> (String, String) {
    let outcome = Client::start(address, Want::Play, None).await;
    match outcome {
        Err(ClientError::Refused { code, description }) => (code, description),
        Err(other) => panic!("not refused, but {other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// Steps a player until it is told that it is over.
pub(crate) async fn ending(player: &mut Client) -> String {
    let mut code = String::new();
    let wait = async {
        loop {
            let step = player.step(|event| match event {
                ClientEvent::Ended { code: said } | ClientEvent::Refused { code: said, .. } => code = said,
                _ => {}
            });
            if step.await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    code
}
