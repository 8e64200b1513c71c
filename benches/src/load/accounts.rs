//! The load accounts: their keys, what each pays next, and what their balances must be in the end.
//!
//! Payment `seq` of an account is a function of the run's seed, the account and the seq alone, so nothing but a signature has to be kept
//! of a payment that is signed in advance (64 bytes), and a payment that is sent again is rebuilt to the same bytes.

use smt_types::crypto::SecretKey;
use smt_types::{Address, Amount, Bounded, Lamport, NetworkId, Payment, Seq, ShardAddress, Signature, SignedPayment};

/// Largest amount of one payment, base units.
pub const AMOUNT_MAX: u64 = 100;

/// Who pays whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Seed of the choices.
    pub seed: u64,
    /// Share of payments that go to another shard.
    pub cross_share: f64,
    /// Share of payments whose payee is one of the hot accounts of its shard.
    pub hot_share: f64,
    /// How many hot accounts a shard has.
    pub hot_accounts: u32,
}

/// What a payment is, before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Place of the payee among all accounts.
    pub payee: u32,
    /// Base units.
    pub amount: u64,
    /// Whether the payee is in another shard.
    pub cross: bool,
}

/// The accounts of all shards: account i of shard s has place s · per_shard + i.
#[derive(Debug)]
pub struct Accounts {
    network: NetworkId,
    shards: u32,
    per_shard: u32,
    plan: Plan,
    keys: Vec<SecretKey>,
    addresses: Vec<Address>,
    next_seq: Vec<u64>,
    first_seq: Vec<u64>,
    sent: Vec<u64>,
    received: Vec<u64>,
    signed: Signed,
}

/// Signatures made in advance: `per_account` of each account, from `from` on.
#[derive(Debug, Default)]
struct Signed {
    per_account: usize,
    from: Vec<u64>,
    signatures: Vec<Signature>,
}

impl Accounts {
    /// Derives all keys with all cores; `keys(i)` is account i of every shard, in shard order, by the network's own rule.
    pub fn derive(
        network: NetworkId,
        level: u8,
        per_shard: u32,
        plan: Plan,
        keys: impl Fn(u32) -> Vec<SecretKey> + Sync,
    ) -> Accounts {
        let shards = ShardAddress::all(level).count();
        let numbers: Vec<u32> = (0..per_shard).collect();
        let mut derived: Vec<_> = in_parallel(&numbers, |i| keys(*i)).into_iter().map(Vec::into_iter).collect();
        let keys: Vec<SecretKey> =
            (0..shards).flat_map(|_| derived.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect();
        let addresses = keys.iter().map(|key| key.public().address()).collect();
        let zeros = vec![0; keys.len()];
        Accounts {
            network,
            shards: u32::try_from(shards).unwrap_or(1),
            per_shard,
            plan,
            keys,
            addresses,
            next_seq: zeros.clone(),
            first_seq: zeros.clone(),
            sent: zeros.clone(),
            received: zeros,
            signed: Signed::default(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.shards.saturating_mul(self.per_shard)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Accounts of one shard.
    pub fn per_shard(&self) -> u32 {
        self.per_shard
    }

    /// Number of the account's shard.
    pub fn shard_of(&self, account: u32) -> u32 {
        account.checked_div(self.per_shard).unwrap_or(0)
    }

    /// Its address.
    pub fn address(&self, account: u32) -> Address {
        self.addresses.get(index(account)).copied().unwrap_or_default()
    }

    /// The seq of its next payment.
    pub fn next_seq(&self, account: u32) -> u64 {
        self.next_seq.get(index(account)).copied().unwrap_or_default()
    }

    /// Sets the seq an account starts from, on a network that has seen other runs.
    pub fn start_at(&mut self, account: u32, seq: u64) {
        for list in [&mut self.next_seq, &mut self.first_seq] {
            if let Some(place) = list.get_mut(index(account)) {
                *place = seq;
            }
        }
    }

    /// What payment `seq` of an account is.
    pub fn planned(&self, account: u32, seq: u64) -> Planned {
        let draw = mix(self.plan.seed ^ mix(u64::from(account) ^ mix(seq)));
        let [a, b, c, d, e, f, g, h] = draw.to_le_bytes();
        let cross = self.shards > 1 && below(u16::from_le_bytes([a, b]), self.plan.cross_share);
        let hot = self.plan.hot_accounts > 0 && below(u16::from_le_bytes([c, d]), self.plan.hot_share);
        let home = self.shard_of(account);
        let second = mix(draw);
        let shard = if cross {
            let others = u64::from(self.shards.saturating_sub(1));
            let step = part(second >> 48, others).saturating_add(1);
            home.saturating_add(step).checked_rem(self.shards).unwrap_or(home)
        } else {
            home
        };
        let among = if hot { self.plan.hot_accounts.min(self.per_shard) } else { self.per_shard };
        let place = part(second & 0xffff_ffff, u64::from(among));
        let first = shard.saturating_mul(self.per_shard);
        let mut payee = first.saturating_add(place);
        if payee == account {
            let next = place.saturating_add(1).checked_rem(self.per_shard).unwrap_or(0);
            payee = first.saturating_add(next);
        }
        let amount = u64::from(u32::from_le_bytes([e, f, g, h])).checked_rem(AMOUNT_MAX).unwrap_or(0).saturating_add(1);
        Planned { payee, amount, cross }
    }

    fn payment(&self, account: u32, seq: u64) -> Option<(Payment, &SecretKey)> {
        let key = self.keys.get(index(account))?;
        let planned = self.planned(account, seq);
        let payment = Payment {
            network: self.network,
            payer: key.public(),
            seq: Seq(seq),
            payee: self.address(planned.payee),
            amount: Amount(planned.amount),
            memo: Bounded::default(),
            after: Lamport(0),
        };
        Some((payment, key))
    }

    /// Signs the next payments of every account, so that `total` payments of the run (bounded by `max`) find their signature made. Answers
    /// how many were signed.
    pub fn sign_ahead(&mut self, total: u64, max: u64) -> u64 {
        let accounts = u64::from(self.len()).max(1);
        // One more than the mean: accounts are used in turn, but not in step.
        let wanted = total.div_ceil(accounts).saturating_add(1);
        let per_account = wanted.min(max.checked_div(accounts).unwrap_or(0));
        let from = self.next_seq.clone();
        let places: Vec<u32> = (0..self.len()).collect();
        let made = in_parallel(&places, |account| {
            let first = from.get(index(*account)).copied().unwrap_or_default();
            let sign = |seq| self.payment(*account, seq).map(|(payment, key)| payment.sign(key).signature);
            (first..first.saturating_add(per_account)).filter_map(sign).collect::<Vec<_>>()
        });
        let signatures: Vec<_> = made.into_iter().flatten().collect();
        let count = u64::try_from(signatures.len()).unwrap_or(u64::MAX);
        self.signed = Signed { per_account: usize::try_from(per_account).unwrap_or(0), from, signatures };
        count
    }

    /// The account's next payment, signed. `true` if the signature had to be made now.
    pub fn next_payment(&self, account: u32) -> Option<(SignedPayment, bool)> {
        let seq = self.next_seq(account);
        let (payment, key) = self.payment(account, seq)?;
        match self.signed.get(account, seq) {
            Some(signature) => Some((SignedPayment { payment, signature }, false)),
            None => Some((payment.sign(key), true)),
        }
    }

    /// The payment at the account's next seq is final: it counts, and the next one may go.
    pub fn settle(&mut self, account: u32) {
        let planned = self.planned(account, self.next_seq(account));
        add(&mut self.sent, account, planned.amount);
        add(&mut self.received, planned.payee, planned.amount);
        add(&mut self.next_seq, account, 1);
    }

    /// How the balance must differ from the one at the start, and the next seq.
    pub fn expected(&self, account: u32) -> (i128, u64) {
        let get = |list: &[u64]| i128::from(list.get(index(account)).copied().unwrap_or_default());
        (get(&self.received).saturating_sub(get(&self.sent)), self.next_seq(account))
    }

    /// Payments an account has made in this run.
    pub fn paid(&self, account: u32) -> u64 {
        let first = self.first_seq.get(index(account)).copied().unwrap_or_default();
        self.next_seq(account).saturating_sub(first)
    }
}

impl Signed {
    fn get(&self, account: u32, seq: u64) -> Option<Signature> {
        let first = self.from.get(index(account))?;
        let offset = usize::try_from(seq.checked_sub(*first)?).ok().filter(|offset| *offset < self.per_account)?;
        self.signatures.get(index(account).checked_mul(self.per_account)?.checked_add(offset)?).copied()
    }
}

fn index(account: u32) -> usize {
    usize::try_from(account).unwrap_or(usize::MAX)
}

fn add(list: &mut [u64], account: u32, amount: u64) {
    if let Some(place) = list.get_mut(index(account)) {
        *place = place.saturating_add(amount);
    }
}

/// The SplitMix64 finaliser: every bit of the result depends on every bit of the argument.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn below(draw: u16, share: f64) -> bool {
    f64::from(draw) < share * 65_536.0
}

fn part(draw: u64, of: u64) -> u32 {
    u32::try_from(draw.checked_rem(of).unwrap_or(0)).unwrap_or(0)
}

/// Maps with all cores, in order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(chunk)
            .map(|part| {
                let work = &work;
                scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Accounts with keys that are cheap and in no particular shard.
    pub(crate) fn accounts(level: u8, per_shard: u32, plan: Plan) -> Accounts {
        Accounts::derive(NetworkId(7), level, per_shard, plan, |i| {
            let key = |shard: ShardAddress| {
                let mut seed = [1; 32];
                seed[..4].copy_from_slice(&i.to_le_bytes());
                seed[4..8].copy_from_slice(&shard.index().to_le_bytes());
                SecretKey::from_seed(seed)
            };
            ShardAddress::all(level).map(key).collect()
        })
    }

    pub(crate) const PLAN: Plan = Plan { seed: 3, cross_share: 0.0, hot_share: 0.0, hot_accounts: 0 };

    #[test]
    fn shares_are_as_asked_and_nobody_pays_himself() {
        let plan = Plan { cross_share: 0.5, hot_share: 0.2, hot_accounts: 4, ..PLAN };
        let accounts = accounts(1, 50, plan);
        let (mut cross, mut hot, mut all) = (0_u32, 0_u32, 0_u32);
        for account in 0..accounts.len() {
            for seq in 0..100 {
                let planned = accounts.planned(account, seq);
                assert_ne!(planned.payee, account);
                assert!((1..=AMOUNT_MAX).contains(&planned.amount));
                assert_eq!(planned.cross, accounts.shard_of(planned.payee) != accounts.shard_of(account));
                all += 1;
                cross += u32::from(planned.cross);
                hot += u32::from(planned.payee % 50 < 4);
            }
        }
        assert!((7_100..7_900).contains(&cross), "{cross} of {all}");
        // 20 % asked for, and 4 in 50 of the rest by chance.
        assert!((3_600..4_400).contains(&hot), "{hot} of {all}");
    }

    #[test]
    fn payments_signed_ahead_and_now_are_the_same_bytes() {
        let mut accounts = accounts(0, 3, PLAN);
        let (before, now) = accounts.next_payment(1).unwrap();
        assert!(now && before.is_signed());
        assert_eq!(accounts.sign_ahead(6, 1_000), 9);
        let (after, now) = accounts.next_payment(1).unwrap();
        assert!(!now);
        assert_eq!(before, after);
        for _ in 0..3 {
            assert!(!accounts.next_payment(1).unwrap().1);
            accounts.settle(1);
        }
        assert!(accounts.next_payment(1).unwrap().1, "only three were signed ahead");
        assert!(!accounts.next_payment(2).unwrap().1);
        // The bound on memory wins.
        assert_eq!(accounts.sign_ahead(1_000, 7), 6);
    }

    #[test]
    fn books_of_the_accounts_balance() {
        let mut accounts = accounts(0, 5, PLAN);
        for account in [0, 1, 1, 4, 0] {
            accounts.settle(account);
        }
        let sum: i128 = (0..5).map(|account| accounts.expected(account).0).sum();
        assert_eq!(sum, 0);
        assert_eq!((0..5).map(|account| accounts.expected(account).1).collect::<Vec<_>>(), [2, 2, 0, 0, 1]);
        accounts.start_at(2, 9);
        assert_eq!((accounts.next_seq(2), accounts.paid(2)), (9, 0));
    }
}
