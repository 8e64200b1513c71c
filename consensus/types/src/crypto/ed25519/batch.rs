//! The equation of a batch, and who evaluates it.
//!
//! A signature (R, S) under A for the hash k = H(R ‖ A ‖ message) is valid if 8·(S·B − k·A − R) = 0. The batch asks
//! whether 8·Σ zᵢ·(Sᵢ·B − kᵢ·Aᵢ − Rᵢ) = 0, as one sum of multiples: one term for B, one for each *different* key, and one for
//! each R, whose coefficient zᵢ has half the length.
//!
//! **Why our own and not the library's.** `ed25519-zebra` has the same equation over `curve25519-dalek`, which works on
//! one point at a time. The two square roots of a signature are then more than half of its cost, and the additions use
//! half the multiplier. With eight points side by side a batch of 1,024 takes a quarter of the time
//! ([`super::lanes`]). Where the processor has no AVX-512 IFMA, dalek's arithmetic does the same sum; keys
//! that a [`KeyCache`] knows are then spared one root. `benches/signatures.rs` has them all beside each other.
//!
//! **Why it is sound.** Let Eᵢ = 8·(Sᵢ·B − kᵢ·Aᵢ − Rᵢ); the factor 8 puts it into the group of prime order ℓ, whatever
//! small-order parts A and R have. If some Eᵢ is not 0, then for fixed other coefficients one zᵢ mod ℓ at most makes the sum 0,
//! and zᵢ takes 2¹²⁸ values, all different mod ℓ. Cores have no randomness: the zᵢ come from ChaCha20 keyed by a hash of
//! all keys, digests and signatures (Fiat–Shamir), so each batch that an attacker tries, at home too, passes with
//! chance 2⁻¹²⁸. If every Eᵢ is 0, so is the sum: both ways agree with single checks.

use super::{CONTEXT_BATCH_CHECK, Item, KeyCache, PublicKey};
use curve25519_dalek::constants::{ED25519_BASEPOINT_COMPRESSED, ED25519_BASEPOINT_POINT};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest as _, Sha512};

#[cfg(target_arch = "x86_64")]
use super::lanes;

/// Who evaluates the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// `curve25519-dalek`, with what it finds on this processor.
    Portable,
    /// Our own, with windows of so many bits, 4 or 8.
    #[cfg(target_arch = "x86_64")]
    Lanes(u32),
}

/// From here on eight lanes are faster than dalek, whose sums have less to set up; measured in both builds.
#[cfg(target_arch = "x86_64")]
const LANES_FROM: usize = if cfg!(curve25519_dalek_backend = "avx512") { 16 } else { 8 };
/// From here on fewer additions a point pay for more buckets.
#[cfg(target_arch = "x86_64")]
const WIDE_FROM: usize = 144;

impl Engine {
    /// The fastest for `count` signatures on this processor.
    pub(super) fn for_batch(count: usize) -> Engine {
        #[cfg(target_arch = "x86_64")]
        if count >= LANES_FROM && lanes::available() {
            return Engine::Lanes(if count < WIDE_FROM { 4 } else { 8 });
        }
        Engine::Portable
    }

    /// A coefficient z is 128 random bits less this: the lanes' digits are signed.
    fn bias(self) -> u128 {
        match self {
            Engine::Portable => 0,
            #[cfg(target_arch = "x86_64")]
            Engine::Lanes(width) => u128::from(lanes::bias(width)) << 64 | u128::from(lanes::bias(width)),
        }
    }
}

/// H(R ‖ A ‖ message) mod ℓ.
pub(super) fn challenge(r: &[u8; 32], key: &PublicKey, message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key.0).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

/// The sum that must be of small order.
struct Sum {
    /// Of the base point.
    base: Scalar,
    /// Of each key.
    keys: Vec<(PublicKey, Scalar)>,
    /// Of each R, before the bias is taken off.
    nonces: Vec<([u8; 32], u128)>,
}

impl Sum {
    /// `None` if an S is not below ℓ: that signature is false.
    #[allow(clippy::arithmetic_side_effects, reason = "scalars mod ℓ: no result is out of range")]
    fn of(items: &[Item], bias: u128) -> Option<Sum> {
        let mut seed = blake3::Hasher::new_derive_key(CONTEXT_BATCH_CHECK);
        for (key, digest, signature) in items {
            // Fixed width, so the items cannot be cut differently.
            seed.update(&key.0).update(&digest.0).update(&signature.0);
        }
        let mut random = ChaCha20Rng::from_seed(*seed.finalize().as_bytes());
        let bias = Scalar::from(bias);

        // Sorted, so that the signatures of one key follow each other.
        let mut sorted: Vec<&Item> = items.iter().collect();
        sorted.sort_unstable_by_key(|item| item.0);
        let mut sum =
            Sum { base: Scalar::ZERO, keys: Vec::with_capacity(items.len()), nonces: Vec::with_capacity(items.len()) };
        for (key, digest, signature) in sorted {
            let (r, s) = signature.halves();
            let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s))?;
            let mut bits = [0; 16];
            random.fill_bytes(&mut bits);
            let bits = u128::from_le_bytes(bits);
            let z = Scalar::from(bits) - bias;
            sum.base -= z * s;
            let part = z * challenge(&r, key, &digest.0);
            match sum.keys.last_mut() {
                Some((last, of_key)) if last == key => *of_key += part,
                _ => sum.keys.push((*key, part)),
            }
            sum.nonces.push((r, bits));
        }
        Some(sum)
    }

    fn is_small_portable(&self, cache: Option<&KeyCache>) -> bool {
        let scalars = self.keys.iter().map(|(_, scalar)| *scalar).chain([self.base]);
        let keys = self.keys.iter().map(|(key, _)| cache.map_or_else(|| key.decompress(), |cache| cache.point(key)));
        let points = keys.chain([Some(ED25519_BASEPOINT_POINT)]);
        let nonces = self.nonces.iter().map(|(r, _)| CompressedEdwardsY(*r).decompress());
        let sum = EdwardsPoint::optional_multiscalar_mul(
            scalars.chain(self.nonces.iter().map(|(_, z)| Scalar::from(*z))),
            points.chain(nonces),
        );
        sum.is_some_and(|sum| sum.mul_by_cofactor().is_identity())
    }

    #[cfg(target_arch = "x86_64")]
    fn is_small_in_lanes(&self, width: u32) -> bool {
        let keys = self.keys.iter().map(|(key, scalar)| (key.0, scalar));
        let base = (ED25519_BASEPOINT_COMPRESSED.0, &self.base);
        let long: Vec<lanes::Term<4>> =
            keys.chain([base]).map(|(point, scalar)| (point, lanes::biased(scalar.as_bytes(), width))).collect();
        let short: Vec<lanes::Term<2>> = self.nonces.iter().map(|(r, bits)| (*r, lanes::words(*bits))).collect();
        lanes::is_small(width, &long, &short)
    }
}

/// Whether all of `items` are valid.
pub(super) fn holds(engine: Engine, items: &[Item], cache: Option<&KeyCache>) -> bool {
    let Some(sum) = Sum::of(items, engine.bias()) else { return false };
    match engine {
        Engine::Portable => sum.is_small_portable(cache),
        #[cfg(target_arch = "x86_64")]
        Engine::Lanes(width) => sum.is_small_in_lanes(width),
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
