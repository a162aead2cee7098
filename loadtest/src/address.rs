//! Address: an `rtmp://` URL, cut where clients cut it: the first path segment is the app, the rest the stream name.

use std::fmt;

use thiserror::Error;

/// Where to connect, and what to ask for there. `Debug` shows no stream name: it may be a live key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `host:port`.
    pub host: String,
    /// The app.
    pub app: String,
    /// The stream name.
    pub name: String,
}

/// The text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an address looks like rtmp://host[:port]/app/name")]
pub struct AddressError;

impl Address {
    /// Cuts a URL. The port is 1935 when not said.
    ///
    /// # Errors
    /// When the scheme, the host, the app or the name is missing.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let rest = url.strip_prefix("rtmp://").ok_or(AddressError)?;
        let (host, path) = rest.split_once('/').ok_or(AddressError)?;
        let (app, name) = path.split_once('/').ok_or(AddressError)?;
        if host.is_empty() || app.is_empty() {
            return Err(AddressError);
        }
        let has_port =
            host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let host = if has_port { host.to_owned() } else { format!("{host}:1935") };
        Ok(Self { host, app: app.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtmp://{}/{}/…", self.host, self.app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_after_the_app() {
        let a = Address::parse("rtmp://127.0.0.1:1940/room/a.b.c?x=/y").unwrap();
        assert_eq!(
            (a.host.as_str(), a.app.as_str(), a.name.as_str()),
            ("127.0.0.1:1940", "room", "a.b.c?x=/y")
        );
        assert_eq!(Address::parse("rtmp://h/a/b").unwrap().host, "h:1935");
        assert!(!format!("{a:?}").contains("a.b.c"));
        for bad in ["http://h/a/b", "rtmp://h", "rtmp://h/a", "rtmp:///a/b"] {
            assert_eq!(Address::parse(bad), Err(AddressError), "{bad}");
        }
    }
}
