//! The Sierpinski graph of shards: 3^h shards, h from 0 to 9.
//!
//! A shard is a word of h trits, most significant first; its index is that word read in base 3. Two kinds of edges make the graph:
//! triad edges `u.i — u.j` join the three shards of a smallest triangle, and corner edges `u.i.j^r — u.j.i^r` (r ≥ 1) join two neighbouring
//! triangles at the corner they share. Every shard has at most three neighbours, the graph has diameter 2^h − 1, and the tree of triangles
//! above the shards joins any two of them in at most 2h steps. [`LongLinks`] adds a few random edges, since 2^h − 1 grows too fast to gossip
//! over the bare gasket.
//!
//! Source: Klavžar & Milutinović, "Graphs S(n, k) and a variant of the Tower of Hanoi problem" (1997), for degree, diameter and routes.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "levels are at most 9 and indices below 3^9, checked when a topology is made: nothing here can leave u32"
)]

use std::fmt;

/// Deepest network: 3^9 = 19,683 shards.
pub const LEVEL_MAX: u8 = 9;

/// Why a topology or a shard in it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyError {
    /// The network would be deeper than [`LEVEL_MAX`].
    TooDeep {
        /// Level asked for.
        level: u8,
    },
    /// The index names no shard of this network.
    NoSuchShard {
        /// Index asked for.
        index: u32,
        /// Shards there are.
        shards: u32,
    },
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep { level } => {
                write!(f, "level {level} is deeper than the {LEVEL_MAX} allowed")
            }
            Self::NoSuchShard { index, shards } => {
                write!(f, "shard {index} asked for, the network has {shards}")
            }
        }
    }
}

impl std::error::Error for TopologyError {}

/// A triangle of the hierarchy: the shards whose word starts with its word. Depth 0 is the whole network, depth h a single shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Triangle {
    /// Length of its word in trits.
    pub depth: u8,
    /// Its word in base 3, below 3^depth.
    pub index: u32,
}

impl Triangle {
    /// The whole network.
    pub const ROOT: Self = Self { depth: 0, index: 0 };

    /// The triangle it is a child of; `None` for the root.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Some(Self { depth, index: self.index / 3 }),
            None => None,
        }
    }
}

/// The graph of a network of 3^level shards. Every function that takes a shard index refuses one that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    level: u8,
}

impl Topology {
    /// The graph of 3^`level` shards.
    ///
    /// # Errors
    /// [`TopologyError::TooDeep`] above [`LEVEL_MAX`].
    pub const fn new(level: u8) -> Result<Self, TopologyError> {
        if level > LEVEL_MAX {
            return Err(TopologyError::TooDeep { level });
        }
        Ok(Self { level })
    }

    /// Length of a shard's word.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// 3^level.
    #[must_use]
    pub const fn shards(self) -> u32 {
        power(self.level)
    }

    /// Trits of a shard's word, most significant first.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn word(self, index: u32) -> Result<Vec<u8>, TopologyError> {
        self.check(index)?;
        Ok((0..self.level).rev().map(|place| trit(index, place)).collect())
    }

    /// The two other shards of its triad, ascending; none in a network of one shard.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn siblings(self, index: u32) -> Result<Vec<u32>, TopologyError> {
        self.check(index)?;
        if self.level == 0 {
            return Ok(Vec::new());
        }
        let first = index - index % 3;
        Ok((first..first + 3).filter(|&shard| shard != index).collect())
    }

    /// The other end of its corner edge: `u.i.j^r` for `u.j.i^r`. `None` for the network's three outer corners `j^h`, and where h < 2.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn corner(self, index: u32) -> Result<Option<u32>, TopologyError> {
        self.check(index)?;
        let j = index % 3;
        let run = (0..self.level).take_while(|&place| u32::from(trit(index, place)) == j).count();
        let Ok(run) = u8::try_from(run) else {
            return Ok(None);
        };
        if run >= self.level {
            return Ok(None);
        }
        let i = u32::from(trit(index, run));
        let prefix = index / power(run + 1);
        Ok(Some((prefix * 3 + j) * power(run) + i * ones(run)))
    }

    /// Triad siblings, then the corner link: at most three shards, and the relation is symmetric.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn neighbours(self, index: u32) -> Result<Vec<u32>, TopologyError> {
        let mut all = self.siblings(index)?;
        all.extend(self.corner(index)?);
        Ok(all)
    }

    /// The triangle of `depth` that holds the shard; `depth` above the network's level is the shard itself.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn triangle(self, index: u32, depth: u8) -> Result<Triangle, TopologyError> {
        self.check(index)?;
        let depth = depth.min(self.level);
        Ok(Triangle { depth, index: index / power(self.level - depth) })
    }

    /// All triangles of one depth, ascending; empty below the shards.
    pub fn triangles(self, depth: u8) -> impl Iterator<Item = Triangle> {
        let count = if depth > self.level { 0 } else { power(depth) };
        (0..count).map(move |index| Triangle { depth, index })
    }

    /// The three triangles it is made of; `None` for a shard and for a triangle that is not part of this network.
    #[must_use]
    pub fn children(self, triangle: Triangle) -> Option<[Triangle; 3]> {
        if triangle.depth >= self.level || triangle.index >= power(triangle.depth) {
            return None;
        }
        let depth = triangle.depth + 1;
        Some([0, 1, 2].map(|child| Triangle { depth, index: triangle.index * 3 + child }))
    }

    /// Shard indices inside a triangle; empty for a triangle that is not part of this network.
    #[must_use]
    pub fn shards_of(self, triangle: Triangle) -> std::ops::Range<u32> {
        if triangle.depth > self.level || triangle.index >= power(triangle.depth) {
            return 0..0;
        }
        let each = power(self.level - triangle.depth);
        triangle.index * each..(triangle.index + 1) * each
    }

    /// Way through the tree of triangles: up from `from` to the smallest triangle that holds both, down to `to`, both ends included.
    /// At most 2h steps, that is 2h + 1 triangles.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn tree_path(self, from: u32, to: u32) -> Result<Vec<Triangle>, TopologyError> {
        let mut a = self.triangle(from, self.level)?;
        let mut b = self.triangle(to, self.level)?;
        let (mut up, mut down) = (vec![a], vec![b]);
        while a != b {
            let (Some(above_a), Some(above_b)) = (a.parent(), b.parent()) else {
                break;
            };
            (a, b) = (above_a, above_b);
            up.push(a);
            down.push(b);
        }
        down.pop();
        up.extend(down.into_iter().rev());
        Ok(up)
    }

    /// A shortest way along triad and corner edges, both ends included: at most 2^h shards.
    ///
    /// Inside the smallest triangle that holds both ends (leaving it is never shorter) the way crosses either the one corner edge between
    /// their two sub-triangles or, by way of the third, two; both lengths are known in closed form and ties go to the single crossing.
    ///
    /// # Errors
    /// [`TopologyError::NoSuchShard`].
    pub fn route(self, from: u32, to: u32) -> Result<Vec<u32>, TopologyError> {
        self.check(from)?;
        self.check(to)?;
        let Some(place) = (0..self.level).rev().find(|&place| trit(from, place) != trit(to, place)) else {
            return Ok(vec![from]);
        };
        let (i, j) = (trit(from, place), trit(to, place));
        let k = 3 - i - j;
        let direct = corner_distance(from, place, j) + 1 + corner_distance(to, place, i);
        let around = corner_distance(from, place, k) + 1 + ((1 << place) - 1) + 1 + corner_distance(to, place, k);
        let mut back = Vec::new();
        let mut path = vec![from];
        if direct <= around {
            walk_to_corner(from, place, j, &mut path);
            back.push(to);
            walk_to_corner(to, place, i, &mut back);
        } else {
            walk_to_corner(from, place, k, &mut path);
            // Enter the third triangle `u.k` at its corner `i` and cross it to its corner `j`.
            let base = from / power(place + 1) * 3 + u32::from(k);
            let enter = base * power(place) + u32::from(i) * ones(place);
            path.push(enter);
            walk_to_corner(enter, place, j, &mut path);
            back.push(to);
            walk_to_corner(to, place, k, &mut back);
        }
        path.extend(back.into_iter().rev());
        Ok(path)
    }

    const fn check(self, index: u32) -> Result<(), TopologyError> {
        let shards = self.shards();
        if index >= shards {
            return Err(TopologyError::NoSuchShard { index, shards });
        }
        Ok(())
    }
}

/// A few random edges that shrink the diameter: every round is a random perfect matching of the shards, so the relation is symmetric, every
/// shard gets at most one more neighbour a round, and equal (level, rounds, seed) give equal links on every machine.
#[derive(Debug, Clone)]
pub struct LongLinks {
    /// Partner of each shard per round; a shard without one (3^h is odd) names itself.
    rounds: Vec<Vec<u32>>,
}

impl LongLinks {
    /// `rounds` matchings (at most 8) drawn from `seed`. Cost: O(3^h) a round, 79 KB at the deepest level.
    #[must_use]
    pub fn new(topology: Topology, rounds: u8, seed: u64) -> Self {
        let shards = topology.shards();
        let mut state = seed;
        let rounds = (0..rounds.min(8))
            .map(|_| {
                let mut order: Vec<u32> = (0..shards).collect();
                for last in (1..order.len()).rev() {
                    let pick = u64::try_from(last)
                        .ok()
                        .and_then(|last| usize::try_from(splitmix64(&mut state) % (last + 1)).ok())
                        .unwrap_or(last);
                    order.swap(last, pick);
                }
                let mut partner: Vec<u32> = (0..shards).collect();
                for pair in order.chunks_exact(2) {
                    if let [a, b] = *pair {
                        for (one, other) in [(a, b), (b, a)] {
                            if let Some(slot) = partner.get_mut(one as usize) {
                                *slot = other;
                            }
                        }
                    }
                }
                partner
            })
            .collect();
        Self { rounds }
    }

    /// Long links of a shard, at most one a round, in round order; two rounds may name the same shard. Empty for an unknown shard.
    pub fn of(&self, index: u32) -> impl Iterator<Item = u32> {
        self.rounds
            .iter()
            .filter_map(move |partner| partner.get(usize::try_from(index).ok()?).copied())
            .filter(move |&other| other != index)
    }
}

/// 3^n.
const fn power(n: u8) -> u32 {
    3u32.pow(n as u32)
}

/// The number written as n ones in base 3: `j * ones(n)` is the word `j^n`.
const fn ones(n: u8) -> u32 {
    (power(n) - 1) / 2
}

/// Trit at `place`, 0 being the least significant.
fn trit(index: u32, place: u8) -> u8 {
    match index / power(place) % 3 {
        0 => 0,
        1 => 1,
        _ => 2,
    }
}

/// Steps from a shard to the corner `j^places` of the triangle its last `places` trits move in: trit t at place p costs 2^p unless t = j.
fn corner_distance(index: u32, places: u8, j: u8) -> u32 {
    (0..places).filter(|&place| trit(index, place) != j).map(|place| 1 << place).sum()
}

/// Appends the only shortest way from `from` (not appended) to the corner `j^places` of its triangle.
///
/// Every step is forced: the lowest place that does not hold j, say `place` with trit i, can only become j by the edge
/// `i.j^place — j.i^place` (for place 0 a triad edge). Everything below it holds j already, so the edge is there; afterwards the places below
/// hold i and are walked in the same manner, 2^place − 1 further steps along one side of a triangle.
fn walk_to_corner(from: u32, places: u8, j: u8, path: &mut Vec<u32>) {
    let mut at = from;
    let mut place = 0;
    while place < places {
        let i = trit(at, place);
        if i == j {
            place += 1;
            continue;
        }
        at = at / power(place + 1) * power(place + 1) + u32::from(j) * power(place) + u32::from(i) * ones(place);
        path.push(at);
        place = 0;
    }
}

/// Steele, Lea & Flood's generator: enough to draw matchings, and two lines long.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
