//! Layers, with the settings of `smt-node dev` as the example.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::dev::DevSettings;
use crate::rpc::RpcConfig;

fn vars(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn with_file(
    text: &str,
    env: &[(&str, &str)],
    flags: Vec<(&'static str, &'static str, Value)>,
) -> Result<Layered<DevSettings>, String> {
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
    let env =
        [("SMT_EPOCH_MS", "700"), ("SMT_RPC_PING_MS", "6"), ("SMT_RPC_ALLOWED_HOSTS", "a.test, b.test"), ("PATH", "x")];
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
        ("", &[("SMT_EXACT_PORTS", "yes")], ["exact_ports is \"yes\" in environment SMT_EXACT_PORTS", "true or false"]),
        ("", &[("SMT_RPC_PORT", "65536")], ["rpc_port is", "u16"]),
        ("accounts = 1000001", &[], ["accounts is 1000001 in file DIR/dev.toml", "1000000 a shard"]),
        ("accounts = 900000\nshards = 9", &[], ["accounts is 900000 in file DIR/dev.toml", "in all"]),
        ("", &[("SMT_REPLICAS", "4")], ["replicas is 4 in environment SMT_REPLICAS", "3 and 9"]),
        ("x = ", &[], ["file DIR/dev.toml is not TOML", "1"]),
    ] {
        let error = with_file(file, env, Vec::new()).unwrap_err();
        for text in texts {
            assert!(error.contains(text), "{text:?} is not in: {error}");
        }
    }
    let missing =
        Layered::<DevSettings>::load(Some(Path::new("no-such-file.toml")), Vec::new(), Vec::new()).unwrap_err();
    assert_eq!(missing.to_string(), "reading the configuration file no-such-file.toml");
}
