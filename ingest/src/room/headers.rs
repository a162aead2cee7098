//! Headers: the sequence headers and metadata that a new reader of a room needs before its first frame.

use std::sync::Arc;

use super::frame::{Frame, HeaderKey};

/// Tracks of both kinds, their layouts and the metadata; beyond it new keys are not remembered.
const HEADERS_MAX: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Headers {
    kept: Vec<(HeaderKey, Arc<Frame>)>,
}

/// What a header did to those known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Said before, word by word: cameras repeat theirs every second.
    None,
    /// New, where nothing was known.
    Added,
    /// Different from the one known: what follows does not belong to what went before.
    Replaced,
}

impl Headers {
    pub(super) fn note(&mut self, key: HeaderKey, frame: &Arc<Frame>) -> Change {
        if let Some((_, known)) = self.kept.iter_mut().find(|(k, _)| *k == key) {
            if known.payload == frame.payload {
                return Change::None;
            }
            *known = frame.clone();
            return Change::Replaced;
        }
        if self.kept.len() < HEADERS_MAX {
            self.kept.push((key, frame.clone()));
        }
        Change::Added
    }

    pub(super) fn has_video(&self) -> bool {
        self.kept.iter().any(|(key, _)| matches!(key, HeaderKey::Video(_)))
    }

    /// In the order in which a decoder wants them: metadata first, then as they came.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Frame>> {
        let metadata = |key: &HeaderKey| *key == HeaderKey::Metadata;
        let first = self.kept.iter().filter(move |(key, _)| metadata(key));
        let rest = self.kept.iter().filter(move |(key, _)| !metadata(key));
        first.chain(rest).map(|(_, frame)| frame)
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}
