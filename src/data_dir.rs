//! The data directory: made at the first start, owned by one process at a time, its secrets readable by their owner alone.
//!
//! It holds `signing-key.pem`, `admin-token`, `demo-address` (0600 each), the database, and `lock`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::exit::Exit;

/// A data directory that is ours until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held, not used: the kernel gives the lock back when the process ends, however it ends.
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    /// The system refused.
    #[error("cannot {deed} {}: {source}", path.display())]
    Io {
        /// What was tried.
        deed: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use by another onair; give this one its own with --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Others could read or replace a secret.
    #[error("{path} has mode {mode:03o}, so others can get at a secret; run: chmod {wanted:03o} {path}", path = path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Bits that would do.
        wanted: u32,
    },
    /// A secret file does not hold what it should.
    #[error("{} {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        problem: String,
    },
}

impl DataDirError {
    /// The exit code this earns.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::Permission,
            Self::Io { .. } => Exit::CannotCreate,
            Self::InUse { .. } => Exit::Unavailable,
            Self::TooOpen { .. } => Exit::Permission,
            Self::Damaged { .. } => Exit::Config,
        }
    }
}

/// Secrets are short; a file longer than this is not one of ours.
const SECRET_BYTES_MAX: u64 = 16 << 10;

impl DataDir {
    /// Opens the directory, making it (and its parents) if need be, and locks it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(io_error("create", path))?;
        let meta = fs::metadata(path).map_err(io_error("look at", path))?;
        // Group or others may look in, but whoever can write here can replace the secrets.
        refuse_mode(path, meta.mode(), 0o022, 0o700)?;
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io_error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(e)) => Err(io_error("lock", &lock_path)(e)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads the secret `name`, or makes it with `make` and stores it first.
    pub(crate) fn secret(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, DataDirError> {
        if let Some(content) = self.read_secret(name)? {
            return Ok(content);
        }
        let content = make();
        self.write_secret(name, &content)?;
        Ok(content)
    }

    /// The secret `name`, if it is there; refused if others can read it.
    pub(crate) fn read_secret(&self, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        read_secret_in(&self.path, name)
    }

    /// Stores a secret so that a crash leaves either the old file or the new one, whole.
    pub(crate) fn write_secret(&self, name: &str, content: &[u8]) -> Result<(), DataDirError> {
        let (path, unfinished) = (self.file(name), self.file(&format!(".{name}.unfinished")));
        // One left by a crash is ours alone: we hold the lock.
        match fs::remove_file(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &unfinished)(e)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io_error("create", &unfinished))?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(io_error("rename", &unfinished))?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &self.path))
    }
}

/// The secret `name` in a directory that need not be ours, if it is there; refused if others can read it.
pub(crate) fn read_secret_in(dir: &Path, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
    let path = dir.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("open", &path)(e)),
    };
    let meta = file.metadata().map_err(io_error("look at", &path))?;
    refuse_mode(&path, meta.mode(), 0o077, 0o600)?;
    let mut content = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut content).map_err(io_error("read", &path))?;
    if content.is_empty() || content.len() as u64 > SECRET_BYTES_MAX {
        return Err(DataDirError::Damaged { path, problem: "is empty or far too long".to_owned() });
    }
    Ok(Some(content))
}

fn io_error(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { deed, path, source }
}

fn refuse_mode(path: &Path, mode: u32, forbidden: u32, wanted: u32) -> Result<(), DataDirError> {
    let mode = mode & 0o777;
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(DataDirError::TooOpen { path: path.to_owned(), mode, wanted })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/data");
        let dir = DataDir::open(&path).unwrap();
        let first = dir.secret("token", || b"one".to_vec()).unwrap();
        let second = dir.secret("token", || b"two".to_vec()).unwrap();
        assert_eq!((first, second), (b"one".to_vec(), b"one".to_vec()));
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("token")), 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "lock and token, nothing unfinished");
    }

    #[test]
    fn what_a_crash_left_half_written_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".token.unfinished"), "ha").unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        assert_eq!(dir.secret("token", || b"whole".to_vec()).unwrap(), b"whole");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_and_the_cure_is_told() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        dir.write_secret("token", b"x").unwrap();
        chmod(&dir.file("token"), 0o640);
        let error = dir.read_secret("token").unwrap_err();
        assert_eq!(error.exit(), Exit::Permission);
        let text = error.to_string();
        assert!(text.contains("has mode 640") && text.contains("chmod 600"), "{text}");
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let home = tempfile::tempdir().unwrap();
        chmod(home.path(), 0o777);
        assert!(matches!(DataDir::open(home.path()), Err(DataDirError::TooOpen { .. })));
    }

    #[test]
    fn a_directory_belongs_to_one_process_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let first = DataDir::open(home.path()).unwrap();
        assert_eq!(DataDir::open(home.path()).unwrap_err().exit(), Exit::Unavailable);
        drop(first);
        assert!(DataDir::open(home.path()).is_ok());
    }

    #[test]
    fn an_empty_secret_is_damage_not_a_secret() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        dir.write_secret("token", b"").unwrap();
        assert!(matches!(dir.read_secret("token"), Err(DataDirError::Damaged { .. })));
    }
}
