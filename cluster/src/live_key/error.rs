//! Why a live key is not accepted, and how much of that its bearer may read.

use thiserror::Error;

use crate::time::UnixMs;

/// Why a live key is not accepted. Carries no part of the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LiveKeyError {
    /// No key at all.
    #[error("no live key was given")]
    Empty,
    /// Longer than any key of ours.
    #[error("the live key has {len} bytes, at most {max} are possible")]
    TooLong {
        /// Its length.
        len: usize,
        /// [`crate::live_key::LiveKey::BYTES_MAX`].
        max: usize,
    },
    /// Not three base64url parts around a JSON header.
    #[error("the live key is malformed")]
    Malformed,
    /// No `kid`, or none of ours.
    #[error("the live key was signed by nobody we know")]
    UnknownSigner,
    /// Changed, cut, signed by someone else, or signed in another way than our key of that `kid` does.
    #[error("the live key's signature is wrong")]
    BadSignature,
    /// Signed by us for another cluster.
    #[error("the live key was issued by another cluster")]
    WrongIssuer,
    /// Signed for another purpose.
    #[error("the live key is not for publishing")]
    WrongAudience,
    /// Lacks a claim.
    #[error("the live key lacks the claim {0}")]
    MissingClaim(&'static str),
    /// A claim of the wrong type or form.
    #[error("the live key's claim {0} is malformed")]
    BadClaim(&'static str),
    /// Its time is over.
    #[error("the live key expired at {at}")]
    Expired {
        /// When.
        at: UnixMs,
    },
    /// Its time has not come.
    #[error("the live key is not valid before {from}")]
    NotYetValid {
        /// When it will.
        from: UnixMs,
    },
    /// Another issuer gave it a longer life than it may have here.
    #[error("the live key is valid for longer than its issuer may grant")]
    TooLongLived,
    /// It opens another room than the one addressed.
    #[error("the live key belongs to another room")]
    WrongRoom,
}

impl LiveKeyError {
    /// A short name out of a closed set, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::Malformed => "malformed",
            Self::UnknownSigner => "unknown_signer",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim(_) => "missing_claim",
            Self::BadClaim(_) => "bad_claim",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::TooLongLived => "too_long_lived",
            Self::WrongRoom => "wrong_room",
        }
    }

    /// Whether the signature had been verified when this was found, so that the bearer is one we made a key for.
    pub const fn signature_verified(&self) -> bool {
        !matches!(
            self,
            Self::Empty | Self::TooLong { .. } | Self::Malformed | Self::UnknownSigner | Self::BadSignature
        )
    }

    /// What the streamer may read: the full reason once the signature verified; before that, what anyone can see of
    /// the key they typed (empty, too long), and else only that it is invalid.
    pub fn public_text(&self) -> String {
        match self {
            Self::Malformed | Self::UnknownSigner | Self::BadSignature => {
                "the live key is invalid".to_owned()
            }
            known => known.to_string(),
        }
    }
}
