//! What a node must keep to itself: the signing key and the admin token, made at the first start; or, where several Managers must
//! agree on them, read from files that the operator gives to each.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onair_cluster::live_key::{LiveKeySigner, PublicKey, SignerError};
use onair_manager::AdminToken;
use rand::Rng;
use thiserror::Error;

use crate::config::{FileError, Secret};
use crate::data_dir::{self, DataDir, DataDirError};
use crate::exit::Exit;

/// The file of the Ed25519 key that signs live keys.
const SIGNING_KEY: &str = "signing-key.pem";
/// The file of the bearer token that may do everything.
pub(crate) const ADMIN_TOKEN: &str = "admin-token";

/// Where secrets are that all Managers of a cluster share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SharedFiles<'a> {
    /// Instead of the data directory's signing key.
    pub(crate) signing_key: Option<&'a Path>,
    /// Instead of the data directory's token.
    pub(crate) admin_token: Option<&'a Path>,
}

/// The secrets of one node.
pub(crate) struct Secrets {
    /// Signs live keys.
    pub(crate) signer: LiveKeySigner,
    /// Opens the API.
    pub(crate) admin_token: AdminToken,
}

/// Why there are no secrets to work with.
#[derive(Debug, Error)]
pub(crate) enum SecretsError {
    /// Their files.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The signing key.
    #[error("{SIGNING_KEY}: {0}")]
    Signer(#[from] SignerError),
    /// The admin token.
    #[error("{ADMIN_TOKEN}: {0}")]
    Token(onair_manager::ManagerError),
    /// A file that should hold text.
    #[error("{0} is not text")]
    NotText(&'static str),
    /// A file that the configuration names.
    #[error(transparent)]
    Shared(#[from] FileError),
    /// What is in it is no signing key.
    #[error("live_keys.signing_key_file: {0}")]
    SharedSigner(SignerError),
    /// What is in it is no token.
    #[error("http.admin_token_file: {0}")]
    SharedToken(onair_manager::ManagerError),
}

impl SecretsError {
    /// The exit code this earns.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::DataDir(e) => e.exit(),
            Self::Signer(_)
            | Self::Token(_)
            | Self::NotText(_)
            | Self::Shared(_)
            | Self::SharedSigner(_)
            | Self::SharedToken(_) => Exit::Config,
        }
    }
}

impl Secrets {
    /// Reads them from the files given, and the others from `dir`, making what is missing there. Live keys are issued in the
    /// name of `cluster`.
    pub(crate) fn open(dir: &DataDir, cluster: &str, shared: SharedFiles<'_>) -> Result<Self, SecretsError> {
        let signer = match shared.signing_key {
            Some(path) => {
                let pem = Secret::read("live_keys.signing_key_file", path)?;
                LiveKeySigner::from_pem(cluster, pem.expose()).map_err(SecretsError::SharedSigner)?
            }
            None => {
                let made = LiveKeySigner::generate(cluster)?;
                let key = dir.secret(SIGNING_KEY, || made.to_pem().as_bytes().to_vec())?;
                LiveKeySigner::from_pem(cluster, text(SIGNING_KEY, &key)?)?
            }
        };
        let admin_token = match shared.admin_token {
            Some(path) => {
                let token = Secret::read("http.admin_token_file", path)?;
                AdminToken::new(token.expose().trim()).map_err(SecretsError::SharedToken)?
            }
            None => {
                let token = dir.secret(ADMIN_TOKEN, || format!("{}\n", random_token()).into_bytes())?;
                AdminToken::new(text(ADMIN_TOKEN, &token)?.trim()).map_err(SecretsError::Token)?
            }
        };
        Ok(Self { signer, admin_token })
    }
}

impl Secrets {
    /// The public half of the signing key that another process keeps in `dir`, if it is there. Nothing is made or locked: a
    /// node beside a Manager only looks.
    pub(crate) fn public_key_in(dir: &Path, cluster: &str) -> Result<Option<PublicKey>, SecretsError> {
        let Some(key) = data_dir::read_secret_in(dir, SIGNING_KEY)? else { return Ok(None) };
        let signer = LiveKeySigner::from_pem(cluster, text(SIGNING_KEY, &key)?)?;
        Ok(Some(signer.public_key()))
    }
}

fn text<'a>(file: &'static str, content: &'a [u8]) -> Result<&'a str, SecretsError> {
    std::str::from_utf8(content).map_err(|_| SecretsError::NotText(file))
}

/// 256 random bits as 43 characters that need no quoting anywhere.
fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_secrets() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let first = Secrets::open(&dir, "onair", SharedFiles::default()).unwrap();
        let second = Secrets::open(&dir, "onair", SharedFiles::default()).unwrap();
        assert_eq!(first.signer.to_pem(), second.signer.to_pem());
        assert_eq!(
            dir.read_secret(ADMIN_TOKEN).unwrap().map(|t| t.len()),
            Some(44),
            "43 characters and a newline"
        );
    }

    #[test]
    fn a_damaged_signing_key_is_told_by_its_file_and_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        dir.write_secret(SIGNING_KEY, b"-----BEGIN NONSENSE-----").unwrap();
        let error = Secrets::open(&dir, "onair", SharedFiles::default()).err().unwrap();
        assert_eq!(error.exit(), Exit::Config);
        assert!(error.to_string().starts_with(SIGNING_KEY), "{error}");
        assert_eq!(dir.read_secret(SIGNING_KEY).unwrap().unwrap(), b"-----BEGIN NONSENSE-----");
    }

    #[test]
    fn several_managers_share_what_is_in_files_and_make_none_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let (key, token) = (home.path().join("key.pem"), home.path().join("token"));
        let made = LiveKeySigner::generate("onair").unwrap();
        std::fs::write(&key, made.to_pem().as_bytes()).unwrap();
        std::fs::write(&token, "0123456789abcdef\n").unwrap();
        let shared = SharedFiles { signing_key: Some(&key), admin_token: Some(&token) };
        let open = |name: &str| {
            let dir = DataDir::open(&home.path().join(name)).unwrap();
            let secrets = Secrets::open(&dir, "onair", shared).unwrap();
            assert!(dir.read_secret(SIGNING_KEY).unwrap().is_none(), "none of its own");
            assert!(dir.read_secret(ADMIN_TOKEN).unwrap().is_none(), "none of its own");
            secrets.signer.public_key()
        };
        assert_eq!(open("one"), made.public_key());
        assert_eq!(open("two"), made.public_key());

        let dir = DataDir::open(&home.path().join("three")).unwrap();
        std::fs::write(&token, "short").unwrap();
        let error = Secrets::open(&dir, "onair", shared).err().unwrap();
        assert!(error.to_string().starts_with("http.admin_token_file: "), "{error}");
        std::fs::write(&key, "-----BEGIN NONSENSE-----").unwrap();
        let error = Secrets::open(&dir, "onair", shared).err().unwrap();
        assert!(error.to_string().starts_with("live_keys.signing_key_file: "), "{error}");
        assert_eq!(error.exit(), Exit::Config);
    }
}
