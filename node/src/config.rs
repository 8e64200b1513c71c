//! Settings of a command, in layers: defaults, a TOML file, `SMT_*` environment variables, flags; later ones win.
//!
//! An unknown key is refused in every layer. Every value knows which layer it comes from: errors name it, and
//! `--print-config` shows it. The variable of a key is its path in upper case with underscores behind `SMT_`:
//! `SMT_EPOCH_MS`, `SMT_RPC_BATCH_CALLS_MAX`. Lists are split at commas there.

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Longest configuration file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What every variable of this program begins with.
const PREFIX: &str = "SMT_";

/// Variables of the project's own tests, which start this program too.
const TEST_PREFIX: &str = "SMT_TEST_";

/// Variables that are no settings: where the file is, and what the wallet reads.
const OTHER_VARIABLES: &[&str] = &["SMT_CONFIG", "SMT_RPC", "SMT_WALLET_DIR"];

/// What one command can be set to. Fields are numbers, texts, switches, lists of texts, and tables of those.
pub trait Settings: Clone + Default + Serialize + DeserializeOwned {
    /// The rules that types do not express.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn check(&self) -> Result<(), Broken>;
}

/// A rule that a value breaks.
#[derive(Debug)]
pub struct Broken {
    /// The value's key path.
    pub key: String,
    /// The value.
    pub value: String,
    /// What it has to be.
    pub rule: String,
}

impl Broken {
    /// `key` is `value`, against `rule`.
    #[must_use]
    pub fn new(key: &str, value: impl ToString, rule: impl Into<String>) -> Broken {
        Broken { key: key.to_owned(), value: value.to_string(), rule: rule.into() }
    }
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration file {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is far too long to be one.
    #[error("the configuration file {} has more than {FILE_BYTES_MAX} bytes", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {detail}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// A key that is none of ours, mistyped most likely.
    #[error("unknown key `{key}` in {origin}; known keys: {}", known.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// The layer.
        origin: String,
        /// All keys of that layer.
        known: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{key} is {value} in {origin}: {rule}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The layer.
        origin: String,
        /// What it has to be.
        rule: String,
    },
}

/// One layer: values by the path of their key, and where they come from, as errors and `--print-config` say it.
struct Layer {
    origin: String,
    values: Dict,
}

impl Layer {
    fn one(origin: String, path: &str, value: Value) -> Layer {
        Layer { origin, values: nest(path, value) }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn nest(path: &str, value: Value) -> Dict {
    match path.split_once('.') {
        Some((table, rest)) => Dict::from([(table.to_owned(), nest(rest, value).into())]),
        None => Dict::from([(path.to_owned(), value)]),
    }
}

/// The settings of all layers with the origin of each.
#[derive(Clone, Debug)]
pub struct Layered<S> {
    settings: S,
    figment: Figment,
}

impl<S: Settings> Layered<S> {
    /// Puts the layers together: `file` if given, `variables` (those that begin with `SMT_` are looked at), `flags` as
    /// (flag, key path, value).
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and the layer.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Vec<(&'static str, &'static str, Value)>,
    ) -> Result<Layered<S>, ConfigError> {
        let known = keys::<S>();
        let mut figment = Figment::new().merge(Serialized::defaults(S::default()));
        if let Some(file) = file {
            figment = figment.merge(read_file(file, &known)?);
        }
        for layer in read_variables(variables, &known)? {
            figment = figment.merge(layer);
        }
        for (flag, path, value) in flags {
            figment = figment.merge(Layer::one(format!("flag {flag}"), path, value));
        }
        let settings = figment.extract::<S>().map_err(refused)?;
        let layered = Layered { settings, figment };
        let broken =
            |Broken { key, value, rule }| ConfigError::Value { origin: layered.origin(&key), key, value, rule };
        layered.settings.check().and_then(|()| check_endpoint(&layered.settings)).map_err(broken)?;
        Ok(layered)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &S {
        &self.settings
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        match self.figment.find_metadata(key) {
            Some(metadata) if metadata.source.is_none() => metadata.name.to_string(),
            _ => "default".to_owned(),
        }
    }

    /// Every value with its origin, as a file that [`Layered::load`] reads.
    #[must_use]
    pub fn print(&self) -> String {
        let (mut top, mut tables) = (String::new(), BTreeMap::<&str, String>::new());
        let values = flat(&self.settings);
        for (path, value) in &values {
            let (text, name) = match path.split_once('.') {
                Some((table, name)) => (tables.entry(table).or_default(), name),
                None => (&mut top, path.as_str()),
            };
            let line = match value {
                serde_json::Value::Null => format!("# {name} is not set"),
                value => format!("{name} = {value}"),
            };
            // Writing to a string cannot fail.
            writeln!(text, "{line:<40} # {}", self.origin(path)).unwrap_or_default();
        }
        for (table, lines) in tables {
            write!(top, "\n[{table}]\n{lines}").unwrap_or_default();
        }
        top
    }
}

/// Limits of an endpoint, the table [rpc] of every command that has one. No rate limit is a rate of 0; of everything else,
/// none would be an endpoint that serves nothing.
fn check_endpoint<S: Settings>(settings: &S) -> Result<(), Broken> {
    let may_be_zero = ["rpc.rate_per_s", "rpc.rate_loopback_per_s", "rpc.rate_burst_ms"];
    let wrong = |(path, value): &(String, serde_json::Value)| {
        *value == 0 && path.starts_with("rpc.") && !may_be_zero.contains(&path.as_str())
    };
    match flat(settings).into_iter().find(wrong) {
        Some((path, _)) => Err(Broken::new(&path, 0, "has to be 1 or more")),
        None => Ok(()),
    }
}

/// All settings by key path.
fn flat<S: Serialize>(settings: &S) -> Vec<(String, serde_json::Value)> {
    let mut found = Vec::new();
    // Numbers, strings and lists: writing them as JSON cannot fail.
    if let serde_json::Value::Object(fields) = serde_json::to_value(settings).unwrap_or_default() {
        for (name, value) in fields {
            match value {
                serde_json::Value::Object(inner) => {
                    found.extend(inner.into_iter().map(|(field, value)| (format!("{name}.{field}"), value)));
                }
                value => found.push((name, value)),
            }
        }
    }
    found
}

/// All key paths with an example of their values.
fn keys<S: Settings>() -> BTreeMap<String, serde_json::Value> {
    flat(&S::default()).into_iter().collect()
}

fn read_file(file: &Path, known: &BTreeMap<String, serde_json::Value>) -> Result<Layer, ConfigError> {
    use std::io::Read as _;
    let failed = |source| ConfigError::Read { file: file.to_owned(), source };
    let syntax = |detail: String| ConfigError::Syntax { file: file.to_owned(), detail };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    let length = opened.take(FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong { file: file.to_owned() });
    }
    let table: toml::Table = toml::from_str(&text).map_err(|error| syntax(error.to_string()))?;
    let origin = format!("file {}", file.display());
    for (name, value) in &table {
        let paths: Vec<String> = match value {
            toml::Value::Table(inner) => inner.keys().map(|field| format!("{name}.{field}")).collect(),
            _ => vec![name.clone()],
        };
        let is_table = |name: &str| known.keys().any(|key| key.split_once('.').is_some_and(|(table, _)| table == name));
        let stray = match value {
            // A table that is none of ours is named itself.
            toml::Value::Table(_) if !is_table(name) => Some(name.clone()),
            toml::Value::Table(_) => paths.into_iter().find(|path| !known.contains_key(path)),
            _ => paths.into_iter().find(|path| !known.contains_key(path) && !is_table(path)),
        };
        if let Some(key) = stray {
            return Err(ConfigError::UnknownKey { key, origin, known: known.keys().cloned().collect() });
        }
    }
    let values = Value::serialize(&table).map_err(|error| syntax(error.to_string()))?;
    Ok(Layer { origin, values: values.into_dict().unwrap_or_default() })
}

fn read_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    known: &BTreeMap<String, serde_json::Value>,
) -> Result<Vec<Layer>, ConfigError> {
    let names: BTreeMap<String, (&str, &serde_json::Value)> =
        known.iter().map(|(path, example)| (variable(path), (path.as_str(), example))).collect();
    let mut layers = Vec::new();
    for (name, text) in variables {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || name.starts_with(TEST_PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let Some((path, example)) = names.get(&name) else {
            let others = OTHER_VARIABLES.iter().map(|other| (*other).to_owned());
            let known = names.into_keys().chain(others).collect();
            return Err(ConfigError::UnknownKey { key: name, origin: "the environment".to_owned(), known });
        };
        let refuse = |rule: &str| ConfigError::Value {
            key: (*path).to_owned(),
            value: format!("{:?}", text.to_string_lossy()),
            origin: format!("environment {name}"),
            rule: rule.to_owned(),
        };
        let text = text.to_str().ok_or_else(|| refuse("it has to be UTF-8"))?;
        let value = match example {
            serde_json::Value::Number(_) => {
                Value::from(text.parse::<u64>().map_err(|_| refuse("it has to be a whole number, 0 or more"))?)
            }
            serde_json::Value::Bool(_) => {
                Value::from(text.parse::<bool>().map_err(|_| refuse("it has to be true or false"))?)
            }
            serde_json::Value::Array(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::from(items.map(Value::from).collect::<Vec<Value>>())
            }
            _ => Value::from(text),
        };
        layers.push(Layer::one(format!("environment {name}"), path, value));
    }
    Ok(layers)
}

/// The variable of a key.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// The first fault of wrong types, with its layer.
fn refused(error: figment::Error) -> ConfigError {
    let origin =
        error.metadata.as_ref().map_or_else(|| "the settings".to_owned(), |metadata| metadata.name.to_string());
    let key = error.path.join(".");
    let (value, rule) = match &error.kind {
        figment::error::Kind::InvalidType(found, wanted) | figment::error::Kind::InvalidValue(found, wanted) => {
            (found.to_string(), format!("it has to be {wanted}"))
        }
        other => ("refused".to_owned(), other.to_string()),
    };
    ConfigError::Value { key, value, origin, rule }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
