//! The registry on Redis: the state machine of [`local`](super::local), as Lua scripts that Redis runs one at a time.

#![allow(dead_code, reason = "the connections that send these calls come next")]

mod call;
mod decode;
mod encode;
mod scripts;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod script_tests;
