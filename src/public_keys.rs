//! The public keys that this process checks live keys with: the data directory's own, and those of the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onair_cluster::live_key::{KeySet, KeySetError, PublicKey};
use serde::Deserialize;
use thiserror::Error;

use crate::config::{IssuerConfig, LiveKeys};

/// Why there are no keys to check with.
#[derive(Debug, Error)]
pub(crate) enum PublicKeysError {
    /// The key set cannot be read.
    #[error("cannot read the key set {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key set is none.
    #[error("{} is no key set of use here: {problem}", path.display())]
    NoKeySet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No key from anywhere.
    #[error(
        "there is no key to check live keys with: set live_keys.public_keys or live_keys.jwks_file (the Manager serves its \
         keys at /.well-known/jwks.json), or give --data-dir with its signing-key.pem"
    )]
    None,
}

/// The keys of another issuer that stand in the configuration: none, when they are fetched.
pub(crate) fn of_issuer(config: &IssuerConfig) -> Result<KeySet, PublicKeysError> {
    let listed = KeySet::of(config.public_keys.iter().filter_map(|text| parse(text)));
    let Some(path) = &config.jwks_file else { return Ok(listed) };
    let unreadable = |source| PublicKeysError::Unreadable { path: path.to_owned(), source };
    let wrong = |e: KeySetError| PublicKeysError::NoKeySet { path: path.to_owned(), problem: e.to_string() };
    let set = KeySet::from_json(&fs::read(path).map_err(unreadable)?).map_err(wrong)?;
    Ok(listed.and(set))
}

/// All keys that are configured, and `own`, if there is one.
pub(crate) fn of(config: &LiveKeys, own: Option<PublicKey>) -> Result<Vec<PublicKey>, PublicKeysError> {
    let mut keys: Vec<PublicKey> = own.into_iter().collect();
    keys.extend(config.public_keys.iter().filter_map(|text| parse(text)));
    if let Some(path) = &config.jwks_file {
        keys.extend(read(path)?);
    }
    Ok(keys)
}

/// 32 bytes in base64url without padding: the `x` of an Ed25519 key (RFC 8037).
pub(crate) fn parse(text: &str) -> Option<PublicKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok().map(PublicKey)
}

#[derive(Deserialize)]
struct OwnSet {
    keys: Vec<Key>,
}

/// RFC 8037 §2. Other members are none of our business.
#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
}

fn read(path: &Path) -> Result<Vec<PublicKey>, PublicKeysError> {
    let text = fs::read_to_string(path)
        .map_err(|source| PublicKeysError::Unreadable { path: path.to_owned(), source })?;
    let wrong = |problem: String| PublicKeysError::NoKeySet { path: path.to_owned(), problem };
    let set: OwnSet = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let keys = set.keys.iter().map(|key| {
        let is_ours = key.kty == "OKP" && key.crv.as_deref() == Some("Ed25519");
        let key = key.x.as_deref().filter(|_| is_ours).and_then(parse);
        key.ok_or_else(|| wrong("a cluster's own keys are OKP keys of curve Ed25519".to_owned()))
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn keys_come_from_the_list_the_file_and_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("jwks.json");
        fs::write(
            &path,
            format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "x": "{X}", "use": "sig"}}]}}"#),
        )
        .unwrap();
        let own = PublicKey([7; 32]);
        let mut config = LiveKeys::default();
        assert_eq!(of(&config, None).unwrap(), []);
        assert_eq!(of(&config, Some(own)).unwrap(), [own]);
        config.public_keys.push(X.to_owned());
        config.jwks_file = Some(path.clone());
        let x = parse(X).unwrap();
        assert_eq!(of(&config, Some(own)).unwrap(), [own, x, x]);
        fs::write(&path, r#"{"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}]}"#).unwrap();
        assert!(matches!(of(&config, None), Err(PublicKeysError::NoKeySet { .. })));
    }
}
