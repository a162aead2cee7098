//! Layering: defaults, then the file, then the environment, then flags; and for every value, where it came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Config;
use crate::cli::Settings;

/// Variables of this prefix are settings; their names are `ONAIR__<SECTION>__<KEY>`.
const ENV_PREFIX: &str = "ONAIR__";

/// A value's birthplace, so that every complaint can point at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// The file, at a line and column counted from 1.
    File {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// This environment variable.
    Env(String),
    /// This command-line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why the configuration is refused. Each message names the place at fault.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read at all.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value, key or line is wrong.
    #[error("{origin}: {problem}")]
    Wrong {
        /// Where.
        origin: Origin,
        /// What.
        problem: String,
    },
}

/// A key that passed its type but not its meaning.
#[derive(Debug)]
pub(crate) struct Fault {
    /// `section.key`, or `section[place].key` in a list of tables.
    pub(crate) key: String,
    /// What is wrong with its value.
    pub(crate) problem: String,
}

/// What the layers came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values in force.
    pub(crate) config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of `section.key` came from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    fn fault(&self, fault: Fault) -> ConfigError {
        let Fault { key, problem } = fault;
        ConfigError::Wrong { origin: self.origin(&key), problem: format!("{key} {problem}") }
    }

    fn set(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }
}

/// Reads all layers, checks them together, and says what is in force. Nothing is bound or written yet.
pub(crate) fn load(
    settings: &Settings,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let mut origins = BTreeMap::new();
    let mut table = match &settings.config {
        Some(path) => read_file(path, &mut origins)?,
        None => Table::new(),
    };
    let mut config = deserialize(&table).map_err(|problem| wrong(Origin::Default, problem))?;
    for (name, value) in env_settings(env)? {
        config = apply_env(&mut table, &name, &value, &mut origins)?;
    }
    let mut loaded = Loaded { config, origins };
    apply_flags(&mut loaded, settings);
    loaded.config.check().map_err(|fault| loaded.fault(fault))?;
    Ok(loaded)
}

fn wrong(origin: Origin, problem: String) -> ConfigError {
    ConfigError::Wrong { origin, problem }
}

fn deserialize<T: DeserializeOwned>(table: &Table) -> Result<T, String> {
    table.clone().try_into().map_err(|e| e.message().to_owned())
}

/// The file as a table, after its types and keys have been checked with their places known.
fn read_file(path: &Path, origins: &mut BTreeMap<String, Origin>) -> Result<Table, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let at = |offset: usize| {
        let (line, column) = line_and_column(&text, offset);
        Origin::File { path: path.to_owned(), line, column }
    };
    // Only the message and the place: the quoted line of the full error could hold a secret.
    let refuse =
        |e: toml::de::Error| wrong(at(e.span().map_or(0, |span| span.start)), e.message().to_owned());
    toml::from_str::<Config>(&text).map_err(refuse)?;
    let spanned = DeTable::parse(&text).map_err(refuse)?;
    for (section, value) in spanned.get_ref() {
        let section = section.get_ref();
        match value.get_ref() {
            DeValue::Table(keys) => {
                for key in keys.keys() {
                    origins.insert(format!("{section}.{}", key.get_ref()), at(key.span().start));
                }
            }
            DeValue::Array(tables) => {
                for (place, table) in tables.iter().enumerate() {
                    let DeValue::Table(keys) = table.get_ref() else { continue };
                    for key in keys.keys() {
                        origins.insert(format!("{section}[{place}].{}", key.get_ref()), at(key.span().start));
                    }
                }
            }
            _ => {}
        }
    }
    toml::from_str(&text).map_err(refuse)
}

/// Line and column, both from 1, of a byte offset.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Our variables, by name, so that the same environment always gives the same complaint.
fn env_settings(
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut ours = BTreeMap::new();
    for (name, value) in env {
        let Some(name) = name.to_str().filter(|name| is_meant_for_us(name)) else { continue };
        let Some(value) = value.to_str() else {
            return Err(wrong(Origin::Env(name.to_owned()), "is not UTF-8".to_owned()));
        };
        ours.insert(name.to_owned(), value.to_owned());
    }
    Ok(ours)
}

/// Also what was meant for us and is misspelt: `onair__…`, or `ONAIR_RTMP__…` with one underscore too few.
fn is_meant_for_us(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.starts_with(ENV_PREFIX) || (name.starts_with("ONAIR_") && name.contains("__"))
}

/// Lays one variable over `table`. Its text is tried as a TOML value first (`8`, `true`, `["a"]`) and then as a string,
/// since a shell user writes neither quotes nor types.
fn apply_env(
    table: &mut Table,
    name: &str,
    text: &str,
    origins: &mut BTreeMap<String, Origin>,
) -> Result<Config, ConfigError> {
    let origin = Origin::Env(name.to_owned());
    let path = name.strip_prefix(ENV_PREFIX).unwrap_or_default().to_ascii_lowercase();
    let Some((section, key)) = path.split_once("__").filter(|(s, k)| !s.is_empty() && !k.is_empty()) else {
        return Err(wrong(origin, "a setting is named ONAIR__<SECTION>__<KEY>".to_owned()));
    };
    let literal = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let mut first_problem = None;
    for value in literal.into_iter().chain([Value::String(text.to_owned())]) {
        let mut tried = table.clone();
        let entry = tried.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(keys) = entry else {
            return Err(wrong(origin, format!("[[{section}]] is set in the file only")));
        };
        keys.insert(key.to_owned(), value);
        match deserialize(&tried) {
            Ok(config) => {
                *table = tried;
                origins.insert(format!("{section}.{key}"), origin);
                return Ok(config);
            }
            Err(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    Err(wrong(origin, first_problem.unwrap_or_default()))
}

/// Flags are typed already; they win.
fn apply_flags(loaded: &mut Loaded, settings: &Settings) {
    if let Some(dir) = &settings.data_dir {
        loaded.config.node.data_dir.clone_from(dir);
        loaded.set("node.data_dir", Origin::Flag("--data-dir"));
    }
    if let Some(address) = settings.rtmp {
        loaded.config.rtmp.listen = address;
        loaded.set("rtmp.listen", Origin::Flag("--rtmp"));
    }
    if let Some(address) = settings.http {
        loaded.config.http.listen = address;
        loaded.set("http.listen", Origin::Flag("--http"));
    }
}
