//! Which faults a run uses, and how strongly: drawn per run (swarm testing), so that runs differ in kind.

use crate::random::Random;

/// Kinds of messages that a run may lose more of than of others.
const KINDS: [&str; 9] =
    ["vote", "certificate", "applied", "report", "proposal", "cut_vote", "header_signature", "credits", "decision"];

/// Times in microseconds, chances in permille.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// 3^h shards.
    pub level: u8,
    /// Replicas per shard.
    pub replicas: usize,
    /// One-way delay inside a shard and its spread.
    pub delay: (u64, u64),
    /// Extra delay between shards.
    pub far: u64,
    /// Messages lost.
    pub loss: u64,
    /// Further messages lost, of one kind.
    pub mute: Option<(&'static str, u64)>,
    /// Messages repeated.
    pub duplicate: u64,
    /// Messages that take up to a second more, and so are overtaken.
    pub straggle: u64,
    /// Mean time between partitions; 0 for none.
    pub partition: u64,
    /// Mean time between crashes of one replica; 0 for none.
    pub crash: u64,
    /// Longest time down.
    pub down: u64,
    /// Of crashes, how many take a whole shard.
    pub shard_crash: u64,
    /// Of crashes, how many take the whole network.
    pub all_crash: u64,
    /// Of crashes, how many hit just when a record of the victim is being written.
    pub aimed: u64,
    /// A slow replica: (node, delay of everything it sends and receives).
    pub slow: Option<(usize, u64)>,
    /// Largest clock offset to either side.
    pub skew: u64,
    /// Longest sync.
    pub sync: u64,
    /// Owners that sign two payments at one seq.
    pub double_spend: bool,
    /// Payments that exceed the balance, permille.
    pub overdraft: u64,
    /// Payments that take nearly all there is, permille.
    pub tight: u64,
    /// Payments per batch.
    pub batch_max: u16,
    /// Wait for a batch to fill.
    pub batch_delay: u64,
    /// Mean time between an owner's bursts.
    pub burst_every: u64,
    /// Payments that are sent to several gateways at once, permille.
    pub everywhere: u64,
}

impl Faults {
    /// Draws a run's faults.
    #[must_use]
    pub fn draw(random: &mut Random) -> Faults {
        let level = u8::from(!random.chance(80));
        let replicas = if level == 0 && random.chance(250) { 9 } else { 3 };
        let shards = if level == 0 { 1 } else { 3 };
        let mut faults = Faults {
            level,
            replicas,
            delay: (random.between(100, 3_000), random.between(100, 8_000)),
            far: random.between(0, 30_000),
            sync: random.pick(&[200, 1_000, 5_000, 20_000]),
            batch_max: random.pick(&[2, 4, 16, 64]),
            batch_delay: random.pick(&[2_000, 10_000, 40_000]),
            burst_every: if level == 0 { 350_000 } else { 1_600_000 },
            everywhere: random.pick(&[0, 50, 300]),
            ..Faults::default()
        };
        while !faults.any() {
            if random.chance(450) {
                faults.loss = random.pick(&[5, 20, 80, 200]);
            }
            if random.chance(350) {
                faults.duplicate = random.pick(&[10, 50, 200]);
            }
            if random.chance(400) {
                faults.straggle = random.pick(&[5, 30, 120]);
            }
            if random.chance(450) {
                faults.partition = random.pick(&[1_500_000, 4_000_000]);
            }
            if random.chance(600) {
                faults.crash = random.pick(&[400_000, 1_000_000, 3_000_000]);
                faults.down = random.pick(&[20_000, 300_000, 2_000_000, 5_000_000]);
                faults.shard_crash = random.pick(&[0, 100, 300]);
                faults.all_crash = random.pick(&[0, 0, 50]);
                faults.aimed = random.pick(&[0, 500, 900]);
            }
        }
        if random.chance(250) {
            let node = random.index(shards * replicas);
            faults.slow = Some((node, random.pick(&[20_000, 150_000, 700_000])));
        }
        if random.chance(400) {
            faults.skew = random.pick(&[5_000, 150_000, 2_000_000]);
        }
        if random.chance(350) {
            faults.overdraft = random.pick(&[3, 15]);
        }
        if random.chance(300) {
            faults.mute = Some((random.pick(&KINDS), random.pick(&[200, 500])));
        }
        if random.chance(400) {
            faults.tight = random.pick(&[30, 120]);
        }
        faults.double_spend = random.chance(400);
        faults
    }

    /// Whether messages or replicas suffer at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.loss + self.duplicate + self.straggle + self.partition + self.crash > 0
    }
}
