//! What AMF0 and AMF3 share: the bounds of a body, the budget that is spent while one is read, and what can be wrong.

use nom::error::{ErrorKind, ParseError};
use thiserror::Error;

/// How much structure one message body may unfold into.
///
/// A string is never longer than the body it came in, and counts on the wire are checked against the bytes that are
/// left, so these three are all that keeps a small body from becoming a large tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmfLimits {
    /// Objects and arrays inside one another. Real traffic uses 3 (HDR metadata); a level costs 4 bytes on the wire,
    /// so without a bound one body of 1 MiB holds 262 144 levels and ends the thread's stack.
    pub depth: usize,
    /// Values in one body, each scalar, object and array counted once. A full connect with capability maps has 60.
    pub nodes: usize,
    /// Properties of one object. The richest onMetaData seen has fewer than 40.
    pub properties: usize,
}

impl Default for AmfLimits {
    fn default() -> Self {
        Self { depth: 16, nodes: 4096, properties: 1024 }
    }
}

/// Why a body is not AMF, or not AMF that we are willing to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AmfError {
    /// The body ends inside a value.
    #[error("the body ends inside a value")]
    Truncated,
    /// More values inside one another than [`AmfLimits::depth`].
    #[error("values are nested deeper than {limit}")]
    TooDeep {
        /// The bound that was crossed.
        limit: usize,
    },
    /// More values in all than [`AmfLimits::nodes`].
    #[error("the body holds more than {limit} values")]
    TooManyNodes {
        /// The bound that was crossed.
        limit: usize,
    },
    /// An object with more properties than [`AmfLimits::properties`].
    #[error("an object has more than {limit} properties")]
    TooManyProperties {
        /// The bound that was crossed.
        limit: usize,
    },
    /// An array announces more elements than the rest of the body could hold.
    #[error("{announced} elements are announced and {remaining} bytes remain")]
    CountBeyondBody {
        /// Elements by the sender's count.
        announced: u32,
        /// Bytes left after the count.
        remaining: usize,
    },
    /// An object end marker where no object is open.
    #[error("an object end stands outside of any object")]
    StrayObjectEnd,
    /// A reserved or unknown type marker: the length of what follows cannot be known.
    #[error("type marker {marker:#04x} is reserved or unknown")]
    UnknownMarker {
        /// The byte that was read.
        marker: u8,
    },
    /// An AMF3 class with its own wire form, which only its own code could read.
    #[error("an externalizable AMF3 class cannot be read")]
    Externalizable,
    /// An AMF3 property name or class description by an index that nothing was stored under.
    #[error("an AMF3 reference leads nowhere")]
    DanglingReference,
}

/// What is left of the limits while one body is read.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: AmfLimits,
    depth: usize,
    nodes: usize,
}

/// The result of one parser: the rest of the body and what was read.
pub(crate) type Parsed<'a, T> = nom::IResult<&'a [u8], T, AmfError>;

impl Budget {
    pub(crate) fn new(limits: AmfLimits) -> Self {
        Self { limits, depth: 0, nodes: 0 }
    }

    /// Pays for one value.
    pub(crate) fn node(&mut self) -> Result<(), nom::Err<AmfError>> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return fail(AmfError::TooManyNodes { limit: self.limits.nodes });
        }
        Ok(())
    }

    /// Goes one level down; [`Self::leave`] comes back. An error needs no way back: it ends the body.
    pub(crate) fn enter(&mut self) -> Result<(), nom::Err<AmfError>> {
        if self.depth == self.limits.depth {
            return fail(AmfError::TooDeep { limit: self.limits.depth });
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Checks that one more property fits an object that already has `present`.
    pub(crate) fn property(&self, present: usize) -> Result<(), nom::Err<AmfError>> {
        if present >= self.limits.properties {
            return fail(AmfError::TooManyProperties { limit: self.limits.properties });
        }
        Ok(())
    }

    /// Checks an announced element count before anything is reserved for it: every element takes at least
    /// `element_bytes` of what remains.
    pub(crate) fn count(
        &self,
        announced: u32,
        element_bytes: usize,
        rest: &[u8],
    ) -> Result<(), nom::Err<AmfError>> {
        let fits = usize::try_from(announced).is_ok_and(|n| n <= rest.len() / element_bytes);
        if fits { Ok(()) } else { fail(AmfError::CountBeyondBody { announced, remaining: rest.len() }) }
    }
}

/// Ends the body: no parser may try another way after this.
pub(crate) fn fail<T>(error: AmfError) -> Result<T, nom::Err<AmfError>> {
    Err(nom::Err::Failure(error))
}

/// Brings a parser's failure to the public side. `Incomplete` cannot happen, since only complete parsers are used.
pub(crate) fn finish(error: nom::Err<AmfError>) -> AmfError {
    match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error,
        nom::Err::Incomplete(_) => AmfError::Truncated,
    }
}

/// The primitive parsers in use (fixed-width numbers, `take`) fail for one reason only: the body ends.
impl ParseError<&[u8]> for AmfError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}
