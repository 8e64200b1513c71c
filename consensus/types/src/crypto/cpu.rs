//! What the processor must have, and what this build makes of it.
//!
//! Three builds, chosen by `SMT_CPU` in `scripts/lib.sh`. In *generic* and *ifma* everything beyond x86-64's baseline is
//! asked for at run time: both start everywhere. *ifma* adds curve25519-dalek's AVX-512 code to its AVX2 one, for single
//! signatures; eight at a time ([`super::ed25519`]) is in every build. *native* is compiled for the machine
//! that compiles it; elsewhere it would die of an illegal instruction, which [`check`] turns into a sentence.

/// The processor, or the system on it, lacks what this program was compiled for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this program was compiled for a processor with {missing}, which this one has not or its system does not let it use; take the generic build (SMT_CPU=generic)"
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
    missing(FEATURES, cpuid, kept_registers())
}

fn missing(features: &[Feature], cpuid: fn(Word) -> u32, kept: u64) -> Result<(), Unsupported> {
    let lacking: Vec<&str> = features
        .iter()
        .filter(|(name, wanted, word, bit)| *wanted && !usable(name, cpuid(*word) >> bit & 1 == 1, kept))
        .map(|(name, ..)| *name)
        .collect();
    if lacking.is_empty() { Ok(()) } else { Err(Unsupported { missing: lacking.join(" ") }) }
}

/// Whether a feature that the processor has, or has not, can be used by a program. `kept`: XCR0.
fn usable(name: &str, present: bool, kept: u64) -> bool {
    present && kept & registers(name) == registers(name)
}

/// The registers that a feature needs, as bits of XCR0. The system must keep them for each thread; where it does not,
/// the instruction is illegal, whatever CPUID says. Source: Intel's manual, volume 1, sections 14.3 and 15.2 to 15.4.
fn registers(name: &str) -> u64 {
    // SSE and AVX; besides, the mask registers and the halves of ZMM.
    const YMM: u64 = 0b0000_0110;
    const ZMM: u64 = 0b1110_0110;
    match name {
        _ if name.starts_with("avx512") => ZMM,
        "fma" | "f16c" | "vaes" | "vpclmulqdq" | "sha512" | "sm3" | "sm4" => YMM,
        _ if name.starts_with("avx") => YMM,
        _ => 0,
    }
}

/// XCR0: which registers the system keeps. 0 where it has not said.
#[cfg(target_arch = "x86_64")]
fn kept_registers() -> u64 {
    use std::arch::x86_64::_xgetbv;
    let (word, bit) = OSXSAVE;
    if cpuid(word) >> bit & 1 == 0 {
        return 0;
    }
    // SAFETY: OSXSAVE says that the processor has XGETBV and that the system has switched it on; register 0 always exists.
    #[allow(unsafe_code, reason = "the intrinsic needs a feature, which has just been asked for")]
    unsafe {
        _xgetbv(0)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn kept_registers() -> u64 {
    0
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
const NEWER: [Word; 2] = [(7, 1, 0), (7, 1, 3)];
#[cfg(target_arch = "x86_64")]
const OSXSAVE: (Word, u32) = (BASIC, 27);
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

/// What compilers use by themselves beyond x86-64's baseline: what `rustc --print cfg` names for any of its processors,
/// without what only systems use (XSAVE, key locker). Source: Intel's Software Developer's Manual, CPUID.
#[cfg(target_arch = "x86_64")]
const FEATURES: &[Feature] = features! {
    "sse3" BASIC, 0; "pclmulqdq" BASIC, 1; "ssse3" BASIC, 9; "fma" BASIC, 12; "cmpxchg16b" BASIC, 13;
    "sse4.1" BASIC, 19; "sse4.2" BASIC, 20;
    "movbe" BASIC, 22; "popcnt" BASIC, 23; "aes" BASIC, 25; "avx" BASIC, 28; "f16c" BASIC, 29; "rdrand" BASIC, 30;
    "bmi1" EXTENDED[0], 3; "avx2" EXTENDED[0], 5; "bmi2" EXTENDED[0], 8; "avx512f" EXTENDED[0], 16;
    "avx512dq" EXTENDED[0], 17; "rdseed" EXTENDED[0], 18; "adx" EXTENDED[0], 19; "avx512ifma" EXTENDED[0], 21;
    "avx512cd" EXTENDED[0], 28; "sha" EXTENDED[0], 29; "avx512bw" EXTENDED[0], 30; "avx512vl" EXTENDED[0], 31;
    "avx512vbmi" EXTENDED[1], 1; "avx512vbmi2" EXTENDED[1], 6; "gfni" EXTENDED[1], 8; "vaes" EXTENDED[1], 9;
    "vpclmulqdq" EXTENDED[1], 10; "avx512vnni" EXTENDED[1], 11; "avx512bitalg" EXTENDED[1], 12;
    "avx512vpopcntdq" EXTENDED[1], 14; "avx512vp2intersect" EXTENDED[2], 8; "avx512fp16" EXTENDED[2], 23;
    "sha512" NEWER[0], 0; "sm3" NEWER[0], 1; "sm4" NEWER[0], 2; "avxvnni" NEWER[0], 4; "avx512bf16" NEWER[0], 5;
    "avxifma" NEWER[0], 23; "avxvnniint8" NEWER[1], 4; "avxneconvert" NEWER[1], 5; "avxvnniint16" NEWER[1], 10;
    "lzcnt" AMD, 5; "sse4a" AMD, 6; "tbm" AMD, 21;
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
        let kept = kept_registers();
        let has = |name| {
            FEATURES
                .iter()
                .any(|(known, _, word, bit)| *known == name && usable(name, cpuid(*word) >> bit & 1 == 1, kept))
        };
        macro_rules! same {
            ($($name:tt)*) => { $(assert_eq!(has($name), std::arch::is_x86_feature_detected!($name), $name);)* };
        }
        same!("sse3" "pclmulqdq" "ssse3" "fma" "sse4.1" "sse4.2" "movbe" "popcnt" "aes" "avx" "f16c" "rdrand" "bmi1" "avx2");
        same!("bmi2" "avx512f" "avx512dq" "rdseed" "adx" "avx512ifma" "avx512cd" "sha" "avx512bw" "avx512vl" "avx512vbmi");
        same!("avx512vbmi2" "gfni" "vaes" "vpclmulqdq" "avx512vnni" "avx512bitalg" "avx512vpopcntdq" "avx512vp2intersect");
        same!("avxvnni" "avx512bf16" "avxifma" "lzcnt" "sse4a" "avx512fp16" "sha512" "sm3" "sm4" "avxvnniint8");
        same!("avxneconvert" "avxvnniint16" "tbm" "cmpxchg16b");
    }

    /// A processor with everything, under systems that keep ever more registers.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn registers_that_the_system_does_not_keep_are_missing() {
        let all: Vec<Feature> = FEATURES.iter().map(|(name, _, word, bit)| (*name, true, *word, *bit)).collect();
        let lacking = |kept| missing(&all, |_| u32::MAX, kept).map_or_else(|error| error.missing, |()| String::new());
        let has = |list: &str, name: &str| list.split(' ').any(|word| word == name);
        for (kept, avx, avx512) in [
            (0, false, false),
            (0b11, false, false),
            (0b111, true, false),
            (0b0110_0111, true, false),
            (0xe7, true, true),
        ] {
            let list = lacking(kept);
            for name in ["avx", "avx2", "fma", "f16c", "vaes", "vpclmulqdq", "avxvnni", "avxifma"] {
                assert_eq!(has(&list, name), !avx, "{name} {kept:#b}");
            }
            for name in ["avx512f", "avx512ifma", "avx512vl", "avx512fp16"] {
                assert_eq!(has(&list, name), !avx512, "{name} {kept:#b}");
            }
            assert!(!has(&list, "sse4.2") && !has(&list, "bmi2") && !has(&list, "sha"));
        }
        assert_eq!(lacking(0xe7), "");
    }

    #[test]
    fn a_native_build_names_what_is_missing() {
        let wanted: Vec<&str> = FEATURES.iter().filter(|(_, wanted, ..)| *wanted).map(|(name, ..)| *name).collect();
        match missing(FEATURES, |_| 0, u64::MAX) {
            Ok(()) => assert!(wanted.is_empty()),
            Err(error) => assert_eq!(error.missing, wanted.join(" ")),
        }
    }
}
