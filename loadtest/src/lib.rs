//! Loads an RTMP server, any RTMP server, with publishers and players in real time, measures what that costs, and checks what the
//! server promises while it does. The command is `onair-loadtest`; `onair-loadtest --help` teaches it, `docs/loadtest.md` explains
//! its figures.
//!
//! # How it is built
//!
//! Load must cost less than what is loaded, or one measures oneself. So there is no task and no timer per connection:
//!
//! - A [`plan::Plan`] says what one client does with its life: when it comes, how long it stays, how it leaves, whether it comes
//!   back. A [`scenario`] is a list of plans, and nothing else.
//! - The [`engine`] shares the plans out to a few threads. Each waits for its sockets (epoll, by mio) and its deadlines (one timer wheel),
//!   and keeps some hundred bytes per client.
//! - What publishers send is a [`media::clip::Clip`]: H.264 and AAC that a decoder takes, serialised once as RTMP chunks and shared.
//!   Of each picture some hundred bytes are copied, to be stamped with room, publish, number and time; the rest goes from the clip to the
//!   socket, several messages in one vectored write.
//! - Messages are due at absolute times, so that a late one delays none after it.
//! - Players skim: they read chunk headers and stamps, and count the rest.
//! - [`measure`] counts, second by second; [`verdict`] says which promises held and whether the load test itself was in the way;
//!   [`report`] says it as text, JSON and HTML.
//!
//! [`floor`] is what all servers are measured against in the end: bare sockets, `onair-floor`.
//!
//! For tests that want one well-behaved client rather than many, there are [`client::Client`] and [`media::Broadcast`].
//!
//! # What its figures mean
//!
//! Latency is from the moment a picture is handed to the publisher's socket to the moment the whole of it has been read from the player's,
//! by one monotonic clock: publishers and players run on one machine, the server may be anywhere. Pictures that a player gets from the
//! server's cache count as first pictures, not as latency. CPU is the kernel's account of the server's process and its children.

pub mod address;
pub mod cli;
pub mod client;
pub mod engine;
pub mod floor;
pub mod measure;
pub mod media;
pub mod onair;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod scenario;
pub mod server;
pub mod target;
pub mod verdict;
mod wire;
