//! The transcript: a sponge over Poseidon with 17 elements of state, circomlib's parameters. The plain form of the
//! paper, where the circuit has the partial rounds as a recurrence.
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "field arithmetic over fixed sizes")]

use ark_bn254::Fr;
use ark_ff::{BigInt, Field as _, PrimeField, Zero};
use std::sync::OnceLock;

const WIDTH: usize = 17;
const RATE: usize = 16;
const FULL: usize = 8;
const PARTIAL: usize = 68;

struct Constants {
    rounds: Vec<[Fr; WIDTH]>,
    matrix: [[Fr; WIDTH]; WIDTH],
}

/// Bits of the Grain LFSR of 80 bits, self-shrunk, as the paper's appendix says: 254-bit prime field, x^5.
struct Grain {
    bits: [bool; 80],
    at: usize,
}

impl Grain {
    fn new() -> Grain {
        let mut bits = [false; 80];
        let mut at = 0;
        let sizes = [(1u64, 2), (0, 4), (254, 12), (17, 12), (8, 10), (68, 10), ((1 << 30) - 1, 30)];
        for (value, size) in sizes {
            for i in (0..size).rev() {
                bits[at] = (value >> i) & 1 == 1;
                at += 1;
            }
        }
        let mut grain = Grain { bits, at: 0 };
        for _ in 0..160 {
            grain.step();
        }
        grain
    }

    fn step(&mut self) -> bool {
        let bit = [62, 51, 38, 23, 13, 0].iter().fold(false, |sum, i| sum ^ self.bits[(self.at + i) % 80]);
        self.bits[self.at] = bit;
        self.at = (self.at + 1) % 80;
        bit
    }

    /// 254 bits, highest first.
    fn number(&mut self) -> BigInt<4> {
        let mut limbs = [0u64; 4];
        for i in (0..254).rev() {
            let bit = loop {
                let keep = self.step();
                let bit = self.step();
                if keep {
                    break bit;
                }
            };
            limbs[i / 64] |= u64::from(bit) << (i % 64);
        }
        BigInt(limbs)
    }
}

impl Constants {
    fn get() -> &'static Constants {
        static CONSTANTS: OnceLock<Constants> = OnceLock::new();
        CONSTANTS.get_or_init(|| {
            let mut grain = Grain::new();
            let rounds = (0..FULL + PARTIAL)
                .map(|_| {
                    std::array::from_fn(|_| {
                        loop {
                            // Numbers not below the modulus are dropped.
                            if let Some(value) = Fr::from_bigint(grain.number()) {
                                break value;
                            }
                        }
                    })
                })
                .collect();
            // The first draw has no two equal numbers, so it is taken: the vectors of other implementations agree.
            let drawn: [Fr; 2 * WIDTH] = std::array::from_fn(|_| {
                let number = grain.number();
                Fr::from_le_bytes_mod_order(&number.0.map(u64::to_le_bytes).concat())
            });
            let matrix = std::array::from_fn(|i| {
                std::array::from_fn(|j| (drawn[i] + drawn[WIDTH + j]).inverse().unwrap_or_default())
            });
            Constants { rounds, matrix }
        })
    }
}

/// A transcript: sections absorbed, challenges squeezed. Element 0 of the state is never given out.
#[derive(Clone, Debug)]
pub struct Transcript {
    state: [Fr; WIDTH],
}

impl Transcript {
    /// An empty transcript of the kind `tag`, which is not 0.
    #[must_use]
    pub fn new(tag: u64) -> Transcript {
        let mut state = [Fr::zero(); WIDTH];
        state[0] = Fr::from(tag);
        Transcript { state }
    }

    /// One section, in blocks of 16 elements, the last one filled with zeros. An empty section permutes once.
    pub fn absorb(&mut self, section: &[Fr]) {
        if section.is_empty() {
            self.permute();
        }
        for block in section.chunks(RATE) {
            for (state, element) in self.state[1..].iter_mut().zip(block) {
                *state += element;
            }
            self.permute();
        }
    }

    /// The next `count` elements: 16 of the rate, then a permutation, and so on. What is left of 16 is not kept.
    pub fn squeeze(&mut self, count: usize) -> Vec<Fr> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            if !out.is_empty() {
                self.permute();
            }
            out.extend_from_slice(&self.state[1..][..RATE.min(count - out.len())]);
        }
        out
    }

    fn permute(&mut self) {
        let constants = Constants::get();
        for (round, added) in constants.rounds.iter().enumerate() {
            for (state, constant) in self.state.iter_mut().zip(added) {
                *state += constant;
            }
            let full = !(FULL / 2..FULL / 2 + PARTIAL).contains(&round);
            let boxes = if full { WIDTH } else { 1 };
            for state in &mut self.state[..boxes] {
                *state *= state.square().square();
            }
            self.state = constants.matrix.map(|row| row.iter().zip(&self.state).map(|(m, s)| *m * s).sum());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Poseidon of 1 to 16 as go-iden3-crypto has it, which is element 0 of the state. Nothing else is known from
    /// elsewhere for this width; `scripts/circuits --test` holds the circuit against circomlib's for all elements.
    #[test]
    fn permutation_is_circomlibs() {
        let mut transcript = Transcript { state: std::array::from_fn(|i| Fr::from(i as u64)) };
        transcript.permute();
        let hash = "9989051620750914585850546081941653841776809718687451684622678807385399211877";
        assert_eq!(transcript.state[0].to_string(), hash);
    }

    #[test]
    fn sections_start_at_blocks_of_their_own() {
        let element = |i: u64| Fr::from(i + 1);
        let all: Vec<Fr> = (0..40).map(element).collect();
        let squeezed = |cuts: &[usize]| {
            let mut transcript = Transcript::new(5);
            let mut from = 0;
            for cut in cuts {
                transcript.absorb(&all[from..*cut]);
                from = *cut;
            }
            transcript.squeeze(17)
        };
        let whole = squeezed(&[40]);
        assert_eq!(whole, squeezed(&[16, 40]), "a full block ends where a section may end");
        assert_eq!(whole, squeezed(&[32, 40]));
        for cut in [1, 15, 17, 31, 33, 39] {
            assert_ne!(whole, squeezed(&[cut, 40]), "{cut}");
        }
        let mut other = Transcript::new(6);
        other.absorb(&all);
        assert_ne!(whole, other.squeeze(17));
        // One more element after the 16th is another permutation's.
        assert_eq!(whole[..16], squeezed(&[40])[..16]);
        assert!(!whole[..16].contains(&whole[16]));
    }
}
