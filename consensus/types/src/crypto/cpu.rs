//! What the processor must have, and what this build makes of it.
//!
//! Three builds, chosen by `SMT_CPU` in `scripts/lib.sh`. In *generic* and *ifma* everything beyond x86-64's baseline is
//! asked for at run time: both start everywhere. *ifma* adds curve25519-dalek's AVX-512 code to its AVX2 one, for single
//! signatures; eight at a time ([`super::ed25519`]) is in every build. *native* is compiled for the machine
//! that compiles it; elsewhere it would die of an illegal instruction, which [`check`] turns into a sentence.

/// The processor lacks what this program was compiled for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this program was compiled for a processor with {missing}, which this one has not; take the generic build (SMT_CPU=generic)"
)]
pub struct Unsupported {
    /// The names of the features, separated by blanks.
    pub missing: String,
}

/// Whether the program may run here. To be called first in `main`.
///
/// # Errors
/// [`Unsupported`] with everything that is missing.
pub fn check() -> Result<(), Unsupported> {
    let lacking: Vec<&str> =
        FEATURES.iter().filter(|(_, wanted, has)| *wanted && !has()).map(|(name, ..)| *name).collect();
    if lacking.is_empty() { Ok(()) } else { Err(Unsupported { missing: lacking.join(" ") }) }
}

/// Which of the three builds this is: "generic", "ifma" or "native".
#[must_use]
pub fn build() -> &'static str {
    if FEATURES.iter().any(|(_, wanted, _)| *wanted) {
        "native"
    } else if cfg!(curve25519_dalek_backend = "avx512") {
        "ifma"
    } else {
        "generic"
    }
}

/// How batches of signatures are checked on this processor: "8 lanes" (AVX-512 IFMA) or "portable".
#[must_use]
pub fn signatures() -> &'static str {
    if super::ed25519::has_lanes() { "8 lanes" } else { "portable" }
}

/// Name, whether the build takes it for granted, whether the processor has it.
type Feature = (&'static str, bool, fn() -> bool);

#[cfg(target_arch = "x86_64")]
macro_rules! features {
    ($($name:tt)*) => {
        &[$(($name, cfg!(target_feature = $name), || std::arch::is_x86_feature_detected!($name))),*]
    };
}

/// What compilers for x86-64 use by themselves, beyond the baseline.
#[cfg(target_arch = "x86_64")]
const FEATURES: &[Feature] = features!(
    "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "movbe" "f16c" "adx" "aes"
    "pclmulqdq" "sha" "rdrand" "rdseed" "gfni" "vaes" "vpclmulqdq" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl"
    "avx512ifma" "avx512vbmi" "avx512vbmi2" "avx512vnni" "avx512bitalg" "avx512vpopcntdq" "avx512bf16"
);
#[cfg(not(target_arch = "x86_64"))]
const FEATURES: &[Feature] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_that_runs_the_tests_may() {
        assert_eq!(check(), Ok(()));
        assert!(["generic", "ifma", "native"].contains(&build()));
        assert!(["8 lanes", "portable"].contains(&signatures()));
    }
}
