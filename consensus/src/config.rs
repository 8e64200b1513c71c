//! A replica's place, its network and its parameters.

use smt_types::message::NodeId;
use smt_types::{Amount, Committee, NetworkId, ShardAddress};
use std::sync::Arc;

/// What is the same for every replica of a network.
#[derive(Clone, Debug)]
pub struct Network {
    /// The network's number.
    pub id: NetworkId,
    /// h: there are 3^h shards.
    pub level: u8,
    /// One committee per shard, in shard order.
    pub committees: Vec<Arc<Committee>>,
    /// Genesis supply.
    pub supply: Amount,
    /// The unsigned epoch-0 headers, in shard order.
    pub genesis_headers: Vec<smt_types::Header>,
}

impl Network {
    /// The committee of a shard; `None` for a word of another length.
    #[must_use]
    pub fn committee(&self, shard: ShardAddress) -> Option<&Arc<Committee>> {
        (shard.level() == self.level).then(|| self.committees.get(usize::try_from(shard.index()).ok()?)).flatten()
    }
}

/// Parameters; all times in microseconds.
#[derive(Clone, Debug)]
pub struct Params {
    /// Length of an epoch.
    pub epoch_us: u64,
    /// How long the first view of a cut may take; doubles per view.
    pub view_timeout_us: u64,
    /// Most payments in a batch.
    pub batch_max: u16,
    /// How long the first payment of a batch waits for others when a hundred payments a second come in; with more the wait
    /// grows in proportion, up to twenty-five times as long, and with fewer it shrinks: a batch costs the shard the same
    /// whatever its size, and nobody comes to join a payment that comes alone.
    pub batch_delay_us: u64,
    /// Most payments in the gateway's queue.
    pub hold_max: usize,
    /// Most payments of one payer in the queue; also how far ahead of the next a seq may be.
    pub hold_per_payer: u64,
    /// How long a payment may wait for its turn or its funds.
    pub hold_us: u64,
    /// How long a payment may be without certificate altogether.
    pub expire_us: u64,
    /// First wait before an uncertified payment is batched again; doubles.
    pub retry_us: u64,
    /// How long a lock may be without a certificate before the replica takes the payment up itself.
    pub relock_us: u64,
    /// How long an unanswered question waits before it is asked again.
    pub ask_us: u64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            epoch_us: 1_000_000,
            view_timeout_us: 500_000,
            batch_max: 1024,
            batch_delay_us: 2_000,
            hold_max: 10_000,
            hold_per_payer: 1_024,
            hold_us: 2_000_000,
            expire_us: 20_000_000,
            retry_us: 50_000,
            relock_us: 1_000_000,
            ask_us: 200_000,
        }
    }
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its place.
    pub node: NodeId,
    /// Its network.
    pub network: Arc<Network>,
    /// Its parameters.
    pub params: Params,
}
