//! Making, importing and listing keys.

use super::Context;
use crate::wallet::cli::{Import, List, New};
use crate::wallet::keystore::{Cost, KeyEntry, KeyName, Keystore, KeystoreError};
use crate::wallet::output::{Failure, Report};
use crate::wallet::secret::{Seed, prompt_seed, read_seed};
use serde_json::json;
use smt_types::address::Hrp;

pub(super) fn new(context: &Context, flags: &New) -> Result<Report, Failure> {
    let keystore = Keystore::open(&context.dir)?;
    let name = free_name(&keystore, flags.name.as_ref())?;
    let passphrase = flags.passphrase.ask_new(name.as_str())?;
    let entry = keystore.create(&name, &Seed::generate()?, &passphrase, Cost::DEFAULT)?;
    Ok(kept(&keystore, &entry, flags.main))
}

pub(super) fn import(context: &Context, flags: &Import) -> Result<Report, Failure> {
    let keystore = Keystore::open(&context.dir)?;
    let name = free_name(&keystore, flags.name.as_ref())?;
    let seed = match &flags.key_file {
        Some(path) => read_seed(path)?,
        None => prompt_seed()?,
    };
    let passphrase = flags.passphrase.ask_new(name.as_str())?;
    let entry = keystore.create(&name, &seed, &passphrase, Cost::DEFAULT)?;
    Ok(kept(&keystore, &entry, flags.main))
}

/// The name asked for if it is free, or the first free `key-N`. Asked before a passphrase is.
pub(super) fn free_name(keystore: &Keystore, asked: Option<&KeyName>) -> Result<KeyName, Failure> {
    if let Some(name) = asked {
        return if keystore.path(name).exists() {
            Err(KeystoreError::Taken(name.clone()).into())
        } else {
            Ok(name.clone())
        };
    }
    let mut number: u32 = 1;
    loop {
        let name: KeyName = format!("key-{number}").parse()?;
        if !keystore.path(&name).exists() {
            return Ok(name);
        }
        number = number.saturating_add(1);
    }
}

pub(super) fn hrp(main: bool) -> Hrp {
    if main { Hrp::Main } else { Hrp::Dev }
}

pub(super) fn kept(keystore: &Keystore, entry: &KeyEntry, main: bool) -> Report {
    let address = entry.address.to_bech32(hrp(main));
    let file = keystore.path(&entry.name).display().to_string();
    Report::new(
        format!("{}  {address}\nkept encrypted in {file}; without its passphrase it is lost", entry.name),
        json!({ "name": entry.name.as_str(), "address": address, "file": file }),
    )
}

pub(super) fn list(context: &Context, flags: &List) -> Result<Report, Failure> {
    let entries = Keystore::open(&context.dir)?.list()?;
    let show = |entry: &KeyEntry| (entry.name.to_string(), entry.address.to_bech32(hrp(flags.main)));
    let shown: Vec<_> = entries.iter().map(show).collect();
    let human = match shown.as_slice() {
        [] => "no keys; make one with: smt-node wallet new".into(),
        keys => keys.iter().map(|(name, address)| format!("{name}  {address}")).collect::<Vec<_>>().join("\n"),
    };
    let keys: Vec<_> = shown.iter().map(|(name, address)| json!({ "name": name, "address": address })).collect();
    Ok(Report::new(human, json!({ "keys": keys })))
}
