//! Load accounts: the funded accounts of a development network that a load test pays from. Nothing lists them: account `i`
//! of a shard follows from the network's seed, so that network and load generator need only agree on a number.
//!
//! Number `i` names one stream of keys, the same for all shards; its account in a shard is the first key of the stream whose
//! address falls there. Walked once for all n shards, a stream costs n · (1 + 1/2 + … + 1/n) keys; walked for each, n².

use crate::keys::development_seed;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use smt_types::crypto::SecretKey;
use smt_types::{Address, ShardAddress};

/// Streams walked between two reports of progress.
const CHUNK: u32 = 4096;

/// Load account `index` of `shard`. Everyone who knows the seed has its key.
///
/// Cost: about 3^h keys, h the shard's level, some 15 µs each.
#[must_use]
pub fn load_account(seed: u64, shard: ShardAddress, index: u32) -> SecretKey {
    let mut attempt = 0u32;
    loop {
        let key = candidate(seed, index, attempt);
        // One address in 3^h falls into the wanted shard.
        if shard.contains(&key.public().address()) {
            return key;
        }
        attempt = attempt.wrapping_add(1);
    }
}

/// Load account `index` of every shard of `level`, in shard order: [`load_account`] of each, found in one walk.
#[must_use]
pub fn load_accounts(seed: u64, level: u8, index: u32) -> Vec<SecretKey> {
    let mut found: Vec<Option<SecretKey>> = ShardAddress::all(level).map(|_| None).collect();
    let (mut missing, mut attempt) = (found.len(), 0u32);
    while missing > 0 {
        let key = candidate(seed, index, attempt);
        let home = usize::try_from(key.public().address().shard(level).index()).unwrap_or(usize::MAX);
        if let Some(place) = found.get_mut(home).filter(|place| place.is_none()) {
            *place = Some(key);
            missing = missing.saturating_sub(1);
        }
        attempt = attempt.wrapping_add(1);
    }
    found.into_iter().flatten().collect()
}

fn candidate(seed: u64, index: u32, attempt: u32) -> SecretKey {
    SecretKey::from_seed(development_seed(seed, "load account", &(index, attempt)))
}

/// Addresses of the load accounts below `count` of all shards of `level`, on all cores; `progress` hears how many numbers
/// are done.
pub(crate) fn addresses(seed: u64, level: u8, count: u32, mut progress: impl FnMut(u32)) -> Vec<Address> {
    let mut addresses = Vec::new();
    let mut done = 0u32;
    while done < count {
        let end = done.saturating_add(CHUNK).min(count);
        let walk = |index| load_accounts(seed, level, index).into_iter().map(|key| key.public().address());
        addresses.extend((done..end).into_par_iter().flat_map_iter(walk).collect::<Vec<_>>());
        done = end;
        progress(done);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn load_account_is_in_its_shard_and_follows_from_its_number_alone() {
        for level in 0..=2 {
            for index in [0, 1, 999_999] {
                let row = load_accounts(7, level, index);
                let shards: Vec<ShardAddress> = ShardAddress::all(level).collect();
                assert_eq!(row.len(), shards.len());
                for (shard, key) in shards.iter().zip(&row) {
                    assert!(shard.contains(&key.public().address()));
                    assert_eq!(load_account(7, *shard, index).seed(), key.seed());
                    assert_ne!(load_account(8, *shard, index).seed(), key.seed());
                    assert_ne!(load_account(7, *shard, index + 1).seed(), key.seed());
                }
            }
        }
    }

    #[test]
    fn load_account_stays_what_it_is() {
        // Networks that exist were made with these: another account here and their money is nobody's.
        let shown = ShardAddress::all(1).map(|shard| hex::encode(load_account(1, shard, 5).public().address().0));
        let shown: Vec<String> = shown.map(|address| address.chars().take(16).collect()).collect();
        assert_eq!(shown, ["2b7d14a06a2fc1ae", "88549c185e06c176", "b65dc485cd92c822"]);
    }

    #[test]
    fn addresses_are_those_of_the_accounts_and_all_different() {
        let (count, mut heard) = (CHUNK + 3, Vec::new());
        let made = addresses(1, 1, count, |done| heard.push(done));
        assert_eq!(heard, [CHUNK, count]);
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 3 * count as usize);
        for shard in ShardAddress::all(1) {
            let address = load_account(1, shard, CHUNK + 1).public().address();
            assert!(made.contains(&address));
        }
    }
}
