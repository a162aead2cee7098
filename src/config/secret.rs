//! Secrets in the configuration: read from it, never shown. Not in a complaint about a wrong value, not by `onair config
//! check`, not in a log.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// What is shown instead of a secret.
const SHOWN: &str = "(secret)";

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself. The name is there to be searched for.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// A file that was to hold a secret does not.
#[derive(Debug, Error)]
#[error("cannot read {key} {}: {problem}", path.display())]
pub(crate) struct FileError {
    key: &'static str,
    path: PathBuf,
    problem: String,
}

/// Secrets are short; a longer file is not one.
const FILE_BYTES_MAX: u64 = 16 << 10;

impl Secret {
    /// The secret in the file that `key` names, without the newline that editors leave at its end. Its mode is whoever put it
    /// there's affair: orchestrators mount secrets readable by all in the container.
    pub(crate) fn read(key: &'static str, path: &Path) -> Result<Self, FileError> {
        let wrong = |problem: String| FileError { key, path: path.to_owned(), problem };
        let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() || text.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong("it is empty or far too long".to_owned()));
        }
        Ok(Self(secret.to_owned()))
    }
}

/// An address that may have a user and a password in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretUrl(String);

impl SecretUrl {
    /// With whatever is in it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        match rest.rsplit_once('@') {
            Some((_, place)) => write!(f, "{scheme}://{SHOWN}@{place}"),
            None if scheme.is_empty() => f.write_str(SHOWN),
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(SHOWN)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text).map(Self)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text).map(Self)
    }
}

/// Reads a text. Of anything else it does not say what it was, as serde would: a password of digits without its quotes is a
/// password all the same.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<String, E> {
        Err(E::custom("expected a text in quotes"))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<String, E> {
        Err(E::custom("expected a text in quotes"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<String, E> {
        Err(E::custom("expected a text in quotes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        for (text, shown) in [
            ("redis://h:6379/1", "redis://h:6379/1"),
            ("rediss://u:p@ss@h:6379", "rediss://(secret)@h:6379"),
            ("redis+sentinel://:p@a:1,b:2/m", "redis+sentinel://(secret)@a:1,b:2/m"),
            ("hunter2", "(secret)"),
        ] {
            assert_eq!(SecretUrl(text.to_owned()).to_string(), shown);
            assert_eq!(format!("{:?}", SecretUrl(text.to_owned())), shown);
        }
        assert_eq!(format!("{:?}", Secret("hunter2".to_owned())), "(secret)");
    }

    #[test]
    fn a_secret_in_a_file_is_its_text_without_the_last_newline() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        std::fs::write(&path, "hunter2 \n").unwrap();
        assert_eq!(Secret::read("redis.password_file", &path).unwrap().expose(), "hunter2 ");
        std::fs::write(&path, "\n").unwrap();
        let text = Secret::read("redis.password_file", &path).unwrap_err().to_string();
        assert!(text.starts_with("cannot read redis.password_file /"), "{text}");
    }
}
