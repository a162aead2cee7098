//! Request bodies: JSON, bounded in size and in time. The `Content-Type` is not asked for: whoever ends a broadcast in a
//! hurry with `curl -d` should not fail over a header.

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{self, BytesMut};
use actix_web::{HttpRequest, rt};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use tokio::time::timeout;

use super::problem::{Code, Problem};
use crate::ManagerError;
use crate::core::Core;

/// Reads the body as `T`, a JSON object; an empty body is `{}`.
pub(super) async fn json<T: DeserializeOwned>(
    core: &Core,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<T, Problem> {
    let limits = &core.config.limits;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limits.body_bytes_max as u64) {
        return Err(too_large(limits.body_bytes_max));
    }
    // One deadline for all of it: a client that drips bytes gains nothing.
    let body = timeout(limits.body_timeout, read(payload, limits.body_bytes_max)).await.map_err(|_| {
        let seconds = limits.body_timeout.as_secs_f32();
        Problem::new(Code::RequestTimeout, format!("the body must arrive within {seconds} s"))
    })??;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    // serde would take an array for a struct, by position.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::BadBody, "the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|e| Problem::new(Code::BadBody, e.to_string()))
}

/// A number that has no fraction, however it is written: to JSON Schema, `60.0` is an integer.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    whole_or_null(from)?.ok_or_else(|| D::Error::custom("a number is needed, not null"))
}

/// The same, where there may be none.
pub(super) fn whole_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    /// Up to here floating point tells all integers apart: 2^53.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let is_whole = |n: &f64| n.fract() == 0.0 && (0.0..=EXACT_MAX).contains(n);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|n| n as u64));
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is not a whole number that is not negative")))
}

async fn read(mut payload: web::Payload, max: usize) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Problem::new(Code::BadRequest, format!("the body broke off: {e}")))?;
        if body.len() + chunk.len() > max {
            return Err(too_large(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a body may have {max} bytes"))
}

/// Carries a change out to its end, whether or not the client waits for the answer: actix drops a handler when its
/// connection closes, and a revocation must not stop between Live DB and registry.
pub(super) async fn carry_out<T: 'static>(
    change: impl Future<Output = Result<T, ManagerError>> + 'static,
) -> Result<T, Problem> {
    match rt::spawn(change).await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::new(Code::Internal, "the request could not be carried out")),
    }
}
