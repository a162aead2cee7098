//! StreamAddress: which room and which name a client means, from what it says in `connect` and `publish` or `play`.
//!
//! All of it is done on bytes. A URL parser would normalise or refuse keys that are legal, and clients split the same
//! address in different places: OBS sends the server field as app, `FFmpeg` cuts at the second slash (even inside a
//! query), `GStreamer` at the last.

use std::fmt;

use crate::secret::Secret;

/// What a publish or play is addressed to. `Debug` shows lengths only: each part may hold a live key.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamAddress {
    /// The path of the app, without its query and without one leading and one trailing slash.
    pub room: Vec<u8>,
    /// The stream name, without its query and without a file type prefix. May be empty.
    pub name: Secret,
    /// The parameters that were sent with the name and with the app.
    pub query: Query,
}

/// Parameters of an address, as sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    of_name: Secret,
    of_app: Secret,
}

impl StreamAddress {
    /// Resolves an app and a stream name. `flash_version` is the agent that the client names in `connect`.
    pub fn resolve(app: &[u8], stream_name: &[u8], flash_version: &[u8]) -> Self {
        let (app, stream_name) = quirk_ffmpeg_slash_in_query(app, stream_name, flash_version)
            .unwrap_or_else(|| (app.to_vec(), stream_name.to_vec()));
        let (path, app_query) = cut_query(&app);
        let (name, name_query) = cut_query(strip_file_type(&stream_name));
        let mut room = trim_slash(path);
        let mut name = name;
        // OBS with the whole address in its server field, and the key field left empty.
        if name.is_empty()
            && let Some(slash) = room.iter().rposition(|&byte| byte == b'/')
        {
            name = &room[slash + 1..];
            room = &room[..slash];
        }
        Self {
            room: room.to_vec(),
            name: Secret::from(name),
            query: Query { of_name: Secret::from(name_query), of_app: Secret::from(app_query) },
        }
    }
}

impl Query {
    /// The value of a parameter, percent-decoded; the one sent with the name wins over the one sent with the app.
    /// `+` stays `+`: values are base64 more often than form text.
    pub fn get(&self, key: &str) -> Option<Secret> {
        [&self.of_name, &self.of_app]
            .into_iter()
            .find_map(|query| find_parameter(query.expose(), key.as_bytes()))
    }

    /// Whether no parameter was sent.
    pub fn is_empty(&self) -> bool {
        self.of_name.is_empty() && self.of_app.is_empty()
    }
}

impl fmt::Debug for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamAddress")
            .field("room_bytes", &self.room.len())
            .field("name", &self.name)
            .field("query", &self.query)
            .finish()
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({} + {} bytes)", self.of_name.len(), self.of_app.len())
    }
}

/// `FFmpeg` cuts `/live/key?token=a/b` at the slash inside the query and sends `live/key?token=a` and `b`. Both are
/// put together again and cut at the last slash before the query. If there is none, the cut was right.
fn quirk_ffmpeg_slash_in_query(
    app: &[u8],
    stream_name: &[u8],
    flash_version: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    // `Lavf` when it publishes; as a player it borrows the agent of an old Flash Player for Linux.
    let is_ffmpeg =
        flash_version.windows(4).any(|window| window == b"Lavf") || flash_version == b"LNX 9,0,124,2";
    if !is_ffmpeg || !app.contains(&b'?') {
        return None;
    }
    let whole = [app, b"/", stream_name].concat();
    let question = whole.iter().position(|&byte| byte == b'?')?;
    let slash = whole[..question].iter().rposition(|&byte| byte == b'/')?;
    Some((whole[..slash].to_vec(), whole[slash + 1..].to_vec()))
}

/// Splits at the first question mark, which belongs to neither part.
fn cut_query(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b'?') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

fn trim_slash(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Clients turn `k.mp4` into `mp4:k`. For a live name the prefix means nothing.
fn strip_file_type(name: &[u8]) -> &[u8] {
    [&b"mp4:"[..], b"flv:", b"mp3:"].into_iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

fn find_parameter(query: &[u8], key: &[u8]) -> Option<Secret> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (name == key).then(|| Secret::from(percent_decode(value)))
    })
}

/// A percent sign without two hex digits behind it stands for itself.
fn percent_decode(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBS: &str = "FMLE/3.0 (compatible; FMSc/1.0)";
    const FFMPEG: &str = "FMLE/3.0 (compatible; Lavf59.27.100)";

    fn resolve(app: &str, name: &str, agent: &str) -> (String, String, String, String) {
        let address = StreamAddress::resolve(app.as_bytes(), name.as_bytes(), agent.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let Query { of_name, of_app } = &address.query;
        (text(&address.room), text(address.name.expose()), text(of_name.expose()), text(of_app.expose()))
    }

    fn check(sent: (&str, &str, &str), expected: (&str, &str, &str, &str)) {
        let (room, name, of_name, of_app) = resolve(sent.0, sent.1, sent.2);
        assert_eq!((&room[..], &name[..], &of_name[..], &of_app[..]), expected, "{sent:?}");
    }

    #[test]
    fn every_measured_form_of_address_is_understood() {
        check(("live", "key", OBS), ("live", "key", "", ""));
        check(("a/b/c/d", "k", OBS), ("a/b/c/d", "k", "", ""));
        check(("live/key", "", OBS), ("live", "key", "", ""));
        check(("", "key", OBS), ("", "key", "", ""));
        check(("/live", "k", OBS), ("live", "k", "", ""));
        check(("live/sub?tok=a/b", "key?x=1&y=/z/q", OBS), ("live/sub", "key", "x=1&y=/z/q", "tok=a/b"));
        check(("live", "mp4:k", OBS), ("live", "k", "", ""));
        check(("live", "mp3:k?x=1", OBS), ("live", "k", "x=1", ""));
        check(("live", "folder/k", OBS), ("live", "folder/k", "", ""));
        check(("live", "k+a=b&c", OBS), ("live", "k+a=b&c", "", ""));
        check(("live", "abc?sig=1", FFMPEG), ("live", "abc", "sig=1", ""));
        check(("live", "", FFMPEG), ("live", "", "", ""));
        check(("live", "key%2Fx", FFMPEG), ("live", "key%2Fx", "", ""));
        check(("live/", "key", FFMPEG), ("live", "key", "", ""));
    }

    #[test]
    fn a_name_that_is_only_a_query_takes_the_key_from_the_app() {
        check(("live/key", "?clientConfigId=abc", OBS), ("live", "key", "clientConfigId=abc", ""));
        check(("live", "?clientConfigId=abc", OBS), ("live", "", "clientConfigId=abc", ""));
    }

    #[test]
    fn ffmpeg_cutting_inside_a_query_is_repaired() {
        check(("live/key?token=a", "b&x=1", FFMPEG), ("live", "key", "token=a/b&x=1", ""));
        check(("live?tok=1", "key", FFMPEG), ("live", "key", "", "tok=1"));
        check(("live/key?token=a", "b&x=1", OBS), ("live/key", "b&x=1", "", "token=a"));
    }

    #[test]
    fn parameters_are_found_and_those_of_the_name_win() {
        let address = StreamAddress::resolve(b"live?a=1&t=app", b"key?t=x%2Fy+z%&e", b"");
        let get =
            |key| address.query.get(key).map(|value| String::from_utf8(value.expose().to_vec()).unwrap());
        assert_eq!(get("t").as_deref(), Some("x/y+z%"));
        assert_eq!(get("a").as_deref(), Some("1"));
        assert_eq!(get("e").as_deref(), Some(""));
        assert_eq!(get("b"), None);
    }

    #[test]
    fn debug_shows_no_part_of_an_address() {
        let address = StreamAddress::resolve(b"live/hidden-app?q=hidden-q", b"hidden-key?p=hidden-p", b"");
        assert!(!format!("{address:?} {address:#?}").contains("hidden"));
    }
}
