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
    missing(cpuid)
}

fn missing(cpuid: fn(Word) -> u32) -> Result<(), Unsupported> {
    let lacking: Vec<&str> = FEATURES
        .iter()
        .filter(|(_, wanted, word, bit)| *wanted && cpuid(*word) & (1 << bit) == 0)
        .map(|(name, ..)| *name)
        .collect();
    if lacking.is_empty() { Ok(()) } else { Err(Unsupported { missing: lacking.join(" ") }) }
}

/// Which of the three builds this is: "generic", "ifma" or "native".
#[must_use]
pub fn build() -> &'static str {
    if FEATURES.iter().any(|(_, wanted, ..)| *wanted) {
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

/// Where the processor answers: leaf, sub-leaf, and the register that CPUID leaves it in, from EAX = 0 to EDX = 3.
type Word = (u32, u32, usize);

#[cfg(target_arch = "x86_64")]
const BASIC: Word = (1, 0, 2);
#[cfg(target_arch = "x86_64")]
const EXTENDED: [Word; 3] = [(7, 0, 1), (7, 0, 2), (7, 0, 3)];
#[cfg(target_arch = "x86_64")]
const NEWER: Word = (7, 1, 0);
#[cfg(target_arch = "x86_64")]
const AMD: Word = (0x8000_0001, 0, 2);

/// The processor's own word; 0 where it has none.
///
/// Not `is_x86_feature_detected!`: of a feature that the build takes for granted, that macro says yes without asking.
#[cfg(target_arch = "x86_64")]
fn cpuid((leaf, sub, register): Word) -> u32 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(leaf & 0x8000_0000).eax < leaf || (sub > 0 && __cpuid_count(leaf, 0).eax < sub) {
        return 0;
    }
    let answer = __cpuid_count(leaf, sub);
    [answer.eax, answer.ebx, answer.ecx, answer.edx].get(register).copied().unwrap_or(0)
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid(_: Word) -> u32 {
    0
}

/// Name, whether the build takes it for granted, and the bit that says whether the processor has it.
type Feature = (&'static str, bool, Word, u32);

#[cfg(target_arch = "x86_64")]
macro_rules! features {
    ($($name:tt $word:expr, $bit:literal;)*) => { &[$(($name, cfg!(target_feature = $name), $word, $bit)),*] };
}

/// What compilers use by themselves beyond x86-64's baseline. Source: Intel's Software Developer's Manual, CPUID.
#[cfg(target_arch = "x86_64")]
const FEATURES: &[Feature] = features! {
    "sse3" BASIC, 0; "pclmulqdq" BASIC, 1; "ssse3" BASIC, 9; "fma" BASIC, 12; "sse4.1" BASIC, 19; "sse4.2" BASIC, 20;
    "movbe" BASIC, 22; "popcnt" BASIC, 23; "aes" BASIC, 25; "avx" BASIC, 28; "f16c" BASIC, 29; "rdrand" BASIC, 30;
    "bmi1" EXTENDED[0], 3; "avx2" EXTENDED[0], 5; "bmi2" EXTENDED[0], 8; "avx512f" EXTENDED[0], 16;
    "avx512dq" EXTENDED[0], 17; "rdseed" EXTENDED[0], 18; "adx" EXTENDED[0], 19; "avx512ifma" EXTENDED[0], 21;
    "avx512cd" EXTENDED[0], 28; "sha" EXTENDED[0], 29; "avx512bw" EXTENDED[0], 30; "avx512vl" EXTENDED[0], 31;
    "avx512vbmi" EXTENDED[1], 1; "avx512vbmi2" EXTENDED[1], 6; "gfni" EXTENDED[1], 8; "vaes" EXTENDED[1], 9;
    "vpclmulqdq" EXTENDED[1], 10; "avx512vnni" EXTENDED[1], 11; "avx512bitalg" EXTENDED[1], 12;
    "avx512vpopcntdq" EXTENDED[1], 14; "avx512vp2intersect" EXTENDED[2], 8;
    "avxvnni" NEWER, 4; "avx512bf16" NEWER, 5; "avxifma" NEWER, 23; "lzcnt" AMD, 5; "sse4a" AMD, 6;
};
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

    /// The table beside the standard library's, for what this build does not take for granted.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_processor_is_asked_rightly() {
        let has = |name| FEATURES.iter().any(|(known, _, word, bit)| *known == name && cpuid(*word) >> bit & 1 == 1);
        macro_rules! same {
            ($($name:tt)*) => { $(assert_eq!(has($name), std::arch::is_x86_feature_detected!($name), $name);)* };
        }
        same!("sse3" "pclmulqdq" "ssse3" "fma" "sse4.1" "sse4.2" "movbe" "popcnt" "aes" "avx" "f16c" "rdrand" "bmi1" "avx2");
        same!("bmi2" "avx512f" "avx512dq" "rdseed" "adx" "avx512ifma" "avx512cd" "sha" "avx512bw" "avx512vl" "avx512vbmi");
        same!("avx512vbmi2" "gfni" "vaes" "vpclmulqdq" "avx512vnni" "avx512bitalg" "avx512vpopcntdq" "avx512vp2intersect");
        same!("avxvnni" "avx512bf16" "avxifma" "lzcnt" "sse4a");
    }

    #[test]
    fn a_native_build_names_what_is_missing() {
        let wanted: Vec<&str> = FEATURES.iter().filter(|(_, wanted, ..)| *wanted).map(|(name, ..)| *name).collect();
        match missing(|_| 0) {
            Ok(()) => assert!(wanted.is_empty()),
            Err(error) => assert_eq!(error.missing, wanted.join(" ")),
        }
    }
}
