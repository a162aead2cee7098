//! Reset: why a client is told to look at everything anew.

/// What keeps the feed from going on where a client was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reset {
    /// Its id is not one of ours.
    Unreadable,
    /// What it has not seen has been purged.
    Purged,
    /// It has seen what the Live DB does not know: a backup was restored.
    Ahead,
    /// While it was connected, the Live DB went back, or lost what had not been read.
    Interrupted,
}

impl Reset {
    /// Its name, for clients and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Purged => "purged",
            Self::Ahead => "ahead",
            Self::Interrupted => "interrupted",
        }
    }
}
