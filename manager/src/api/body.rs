//! Request bodies: JSON, bounded in size and in time. The `Content-Type` is not asked for: whoever ends a broadcast in a
//! hurry with `curl -d` should not fail over a header.

use actix_web::web::{self, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::{Code, Problem};
use crate::core::Core;

/// Reads the body as `T`; an empty body is `{}`.
pub(super) async fn json<T: DeserializeOwned>(core: &Core, payload: web::Payload) -> Result<T, Problem> {
    let limits = &core.config.limits;
    // One deadline for all of it: a client that drips bytes gains nothing.
    let body = timeout(limits.body_timeout, read(payload, limits.body_bytes_max)).await.map_err(|_| {
        let seconds = limits.body_timeout.as_secs();
        Problem::new(Code::RequestTimeout, format!("the body must arrive within {seconds} s"))
    })??;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(body).map_err(|e| Problem::new(Code::BadBody, e.to_string()))
}

async fn read(mut payload: web::Payload, max: usize) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Problem::new(Code::BadRequest, format!("the body broke off: {e}")))?;
        if body.len() + chunk.len() > max {
            return Err(Problem::new(Code::BodyTooLarge, format!("a body may have {max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
