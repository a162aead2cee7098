//! Secret: bytes that a peer sent and that may hold a live key, so that no log line can show them.

use std::fmt;

/// Bytes whose `Debug` and `Display` show their number and never their content.
///
/// Stream names carry the live key; app and `tcUrl` may, when a user pastes a whole address into one field.
///
/// ```
/// use onair_codec::Secret;
/// let name = Secret::from("live-key");
/// assert_eq!(format!("{name:?}"), "Secret(8 bytes)");
/// assert_eq!(name.expose(), b"live-key");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The content. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_show_the_content() {
        let secret = Secret::from("hunter2");
        for shown in [format!("{secret:?}"), format!("{secret:#?}"), format!("{secret}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
