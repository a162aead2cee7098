//! What is sent, letter by letter: the event stream format of the HTML Living Standard, §9.2.
//!
//! A block with an `id:` and no `data:` moves a client's last event id and dispatches nothing (§9.2.6): so heartbeats carry
//! one, and who filters much still resumes where it was.

use std::time::Duration;

use super::reset::Reset;

/// The first thing: when to come back after an end.
pub(super) fn greeting(out: &mut String, retry: Duration) {
    push(out, &[": events of broadcasts\nretry: ", &retry.as_millis().to_string(), "\n\n"]);
}

/// An event; `text` ends it.
pub(super) fn event(out: &mut String, id: &str, text: &str) {
    push(out, &["id: ", id, "\n", text]);
}

/// All up to `id` has been seen.
pub(super) fn mark(out: &mut String, id: &str) {
    push(out, &[": here\nid: ", id, "\n\n"]);
}

/// The connection lives, and nothing is known.
pub(super) fn heartbeat(out: &mut String) {
    out.push_str(": waiting\n\n");
}

/// What was asked for cannot be had.
pub(super) fn reset(out: &mut String, id: &str, why: Reset) {
    let data = format!("{{\"reason\":\"{}\",\"position\":\"{id}\"}}", why.name());
    push(out, &["id: ", id, "\nevent: reset\ndata: ", &data, "\n\n"]);
}

/// The last thing, in a stream that ends in good order.
pub(super) fn farewell(out: &mut String, why: &str) {
    push(out, &[": ", why, "; come again with the last id\n\n"]);
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}
