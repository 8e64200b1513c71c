//! Settings of `smt-node dev`, in layers: defaults, a TOML file, `SMT_*` environment variables, flags; later ones win.
//!
//! An unknown key is refused in every layer. Every value knows which layer it comes from: errors name it, and
//! `--print-config` shows it. The variable of a key is its path in upper case with underscores behind `SMT_`:
//! `SMT_EPOCH_MS`, `SMT_RPC_BATCH_CALLS_MAX`. Lists are split at commas there.

use crate::dev::Shape;
use crate::rpc::RpcConfig;
use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
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

/// Epoch lengths allowed, milliseconds.
const EPOCH_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// Everything `smt-node dev` can be set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Number of shards: 1, 3 or 9.
    pub shards: u16,
    /// Replicas per shard: 3 or 9.
    pub replicas: u8,
    /// What all keys are derived from.
    pub seed: u64,
    /// Where state is kept, relative to the working directory; temporary without it.
    pub state: Option<PathBuf>,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// First port of the endpoints; 0 lets the system choose.
    pub rpc_port: u16,
    /// Refuse a busy port instead of taking the next free one.
    pub exact_ports: bool,
    /// What is logged.
    pub log: String,
    /// Limits of the endpoints.
    pub rpc: RpcConfig,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            shards: 3,
            replicas: 3,
            seed: 1,
            state: None,
            epoch_ms: 1000,
            rpc_port: 9100,
            exact_ports: false,
            log: "warn".to_owned(),
            rpc: RpcConfig::default(),
        }
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
pub struct Layered {
    settings: Settings,
    figment: Figment,
}

impl Layered {
    /// Puts the layers together: `file` if given, `variables` (those that begin with `SMT_` are looked at), `flags` as
    /// (flag, key path, value).
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and the layer.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Vec<(&'static str, &'static str, Value)>,
    ) -> Result<Layered, ConfigError> {
        let known = keys();
        let mut figment = Figment::new().merge(Serialized::defaults(Settings::default()));
        if let Some(file) = file {
            figment = figment.merge(read_file(file, &known)?);
        }
        for layer in read_variables(variables, &known)? {
            figment = figment.merge(layer);
        }
        for (flag, path, value) in flags {
            figment = figment.merge(Layer::one(format!("flag {flag}"), path, value));
        }
        let settings = figment.extract::<Settings>().map_err(refused)?;
        let layered = Layered { settings, figment };
        layered.check()?;
        Ok(layered)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
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

    /// The rules that types do not express.
    fn check(&self) -> Result<(), ConfigError> {
        let Settings { shards, replicas, epoch_ms, .. } = &self.settings;
        let refuse = |key: &str, value: String, rule: String| {
            Err(ConfigError::Value { key: key.to_owned(), value, origin: self.origin(key), rule })
        };
        if !Shape::SHARDS.contains(shards) {
            return refuse("shards", shards.to_string(), "allowed are 1, 3 and 9".to_owned());
        }
        if !Shape::REPLICAS.contains(replicas) {
            return refuse("replicas", replicas.to_string(), "allowed are 3 and 9".to_owned());
        }
        if !EPOCH_MS.contains(epoch_ms) {
            let rule = format!("allowed are {} to {} milliseconds", EPOCH_MS.start(), EPOCH_MS.end());
            return refuse("epoch_ms", epoch_ms.to_string(), rule);
        }
        // No rate limit is a rate of 0; of everything else, none would be an endpoint that serves nothing.
        let may_be_zero = ["rpc.rate_per_s", "rpc.rate_loopback_per_s", "rpc.rate_burst_ms"];
        for (path, value) in flat(&self.settings) {
            if path.starts_with("rpc.") && value == 0 && !may_be_zero.contains(&path.as_str()) {
                return refuse(&path, "0".to_owned(), "has to be 1 or more".to_owned());
            }
        }
        Ok(())
    }
}

/// All settings by key path.
fn flat(settings: &Settings) -> Vec<(String, serde_json::Value)> {
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
fn keys() -> BTreeMap<String, serde_json::Value> {
    flat(&Settings::default()).into_iter().collect()
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn vars(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn with_file(
        text: &str,
        env: &[(&str, &str)],
        flags: Vec<(&'static str, &'static str, Value)>,
    ) -> Result<Layered, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dev.toml");
        std::fs::write(&file, text).unwrap();
        Layered::load(Some(&file), vars(env), flags).map_err(|error| {
            let text = error.to_string();
            text.replace(dir.path().to_str().unwrap(), "DIR")
        })
    }

    #[test]
    fn later_layers_win_and_every_value_knows_its_own() {
        let file = "shards = 9\nepoch_ms = 500\nreplicas = 9\n[rpc]\nbatch_calls_max = 7\nping_ms = 5\n";
        let env = [
            ("SMT_EPOCH_MS", "700"),
            ("SMT_RPC_PING_MS", "6"),
            ("SMT_RPC_ALLOWED_HOSTS", "a.test, b.test"),
            ("PATH", "x"),
        ];
        let layered = with_file(file, &env, vec![("--replicas", "replicas", Value::from(3u8))]).unwrap();
        let settings = layered.settings();
        assert_eq!((settings.shards, settings.epoch_ms, settings.replicas, settings.seed), (9, 700, 3, 1));
        assert_eq!((settings.rpc.batch_calls_max, settings.rpc.ping_ms), (7, 6));
        assert_eq!(settings.rpc.allowed_hosts, ["a.test", "b.test"]);
        assert_eq!(settings.rpc.subscriptions_max, RpcConfig::default().subscriptions_max);
        assert!(layered.origin("shards").starts_with("file "), "{}", layered.origin("shards"));
        assert_eq!(layered.origin("epoch_ms"), "environment SMT_EPOCH_MS");
        assert_eq!(layered.origin("replicas"), "flag --replicas");
        assert_eq!(layered.origin("seed"), "default");
        assert_eq!(layered.origin("state"), "default");
        assert_eq!(layered.origin("rpc.ping_ms"), "environment SMT_RPC_PING_MS");
        assert!(layered.origin("rpc.batch_calls_max").starts_with("file "));
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_settings() {
        let file = "seed = 77\nstate = \"with \\\"quote\\\"\"\n[rpc]\nallowed_origins = [\"http://a.test\"]\n";
        let layered = with_file(file, &[("SMT_SHARDS", "1")], Vec::new()).unwrap();
        let again = with_file(&layered.print(), &[], Vec::new()).unwrap();
        assert_eq!(again.settings(), layered.settings());
        for (path, _) in flat(layered.settings()) {
            let name = path.rsplit('.').next().unwrap();
            assert!(layered.print().contains(name), "{name}");
        }
        assert!(layered.print().contains("# environment SMT_SHARDS"));
    }

    #[test]
    fn unknown_keys_are_named_with_their_layer_and_the_known_ones() {
        for (file, env, key) in [
            ("shrads = 3", &[][..], "`shrads` in file DIR/dev.toml"),
            ("[rpc]\nbatch = 3", &[], "`rpc.batch` in file DIR/dev.toml"),
            ("[rcp]\nping_ms = 3", &[], "`rcp` in file DIR/dev.toml"),
            ("[shards]\nnumber = 3", &[], "`shards` in file DIR/dev.toml"),
            ("", &[("SMT_DEV_SHARDS", "3")], "`SMT_DEV_SHARDS` in the environment"),
            ("", &[("SMT_RPC_PRT", "3")], "`SMT_RPC_PRT` in the environment"),
        ] {
            let error = with_file(file, env, Vec::new()).unwrap_err();
            assert!(error.contains(key), "{error}");
            let known = if env.is_empty() { "epoch_ms" } else { "SMT_EPOCH_MS" };
            assert!(error.contains(known), "{error}");
        }
        // What the wallet reads is no mistake.
        assert!(with_file("", &[("SMT_WALLET_DIR", "x"), ("SMT_RPC", "y")], Vec::new()).is_ok());
    }

    #[test]
    fn wrong_values_are_named_with_their_layer_and_the_rule() {
        for (file, env, texts) in [
            ("shards = 4", &[][..], ["shards is 4 in file DIR/dev.toml", "1, 3 and 9"]),
            ("shards = \"3\"", &[], ["shards is string \"3\" in file DIR/dev.toml", "u16"]),
            ("shards = 70000", &[], ["shards is", "u16"]),
            ("shards = -1", &[], ["shards is", "u16"]),
            ("rpc = 3", &[], ["rpc is", "file DIR/dev.toml"]),
            ("[rpc]\nping_ms = 0", &[], ["rpc.ping_ms is 0 in file DIR/dev.toml", "1 or more"]),
            ("", &[("SMT_EPOCH_MS", "1")], ["epoch_ms is 1 in environment SMT_EPOCH_MS", "100 to 60000"]),
            ("", &[("SMT_SEED", "x")], ["seed is \"x\" in environment SMT_SEED", "whole number"]),
            (
                "",
                &[("SMT_EXACT_PORTS", "yes")],
                ["exact_ports is \"yes\" in environment SMT_EXACT_PORTS", "true or false"],
            ),
            ("", &[("SMT_RPC_PORT", "65536")], ["rpc_port is", "u16"]),
            ("", &[("SMT_REPLICAS", "4")], ["replicas is 4 in environment SMT_REPLICAS", "3 and 9"]),
            ("x = ", &[], ["file DIR/dev.toml is not TOML", "1"]),
        ] {
            let error = with_file(file, env, Vec::new()).unwrap_err();
            for text in texts {
                assert!(error.contains(text), "{text:?} is not in: {error}");
            }
        }
        let missing = Layered::load(Some(Path::new("no-such-file.toml")), Vec::new(), Vec::new()).unwrap_err();
        assert_eq!(missing.to_string(), "reading the configuration file no-such-file.toml");
    }
}
