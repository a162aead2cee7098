//! Wire: RTMP as cheaply as a load generator may speak it. Requests are serialised once per address, what comes back is
//! skimmed: chunk headers are read, payloads are counted and skipped but for the bytes that somebody wants.

pub(crate) mod requests;
pub(crate) mod skim;
