//! What the run happens on: described without names or paths, so that it can be published.

use crate::result::Machine;
use anyhow::{Context, Result};
use std::os::linux::fs::MetadataExt;
use std::path::Path;

/// Extensions of the instruction set that signatures and hashes gain from.
const EXTENSIONS: [&str; 4] = ["avx2", "avx512f", "avx512ifma", "avx512vl"];

/// This machine; `directory` is where the replicas' state lies.
///
/// # Errors
/// If the kernel does not tell, or `directory` is missing.
pub fn describe(directory: &Path) -> Result<Machine> {
    let cpuinfo = read("/proc/cpuinfo")?;
    let line = |name| cpuinfo.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim()));
    let flags: Vec<&str> = line("flags").unwrap_or_default().split_whitespace().collect();
    let found: Vec<&str> = EXTENSIONS.into_iter().filter(|name| flags.contains(name)).collect();
    let cores = std::thread::available_parallelism()?.get();
    Ok(Machine {
        cpu: line("model name").unwrap_or("unknown CPU").to_owned(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        memory_bytes: super::procfs::kib_field(&read("/proc/meminfo")?, "MemTotal:").context("no MemTotal")?,
        file_system: file_system(directory)?,
        simd: format!("processor has {}; built for {}", list(&found), built_for()),
    })
}

/// What the compiler was allowed to use. Code that looks for extensions at run time (BLAKE3, curve25519) uses more than this.
fn built_for() -> String {
    let features = [
        (cfg!(target_feature = "avx2"), "avx2"),
        (cfg!(target_feature = "avx512f"), "avx512f"),
        (cfg!(target_feature = "avx512ifma"), "avx512ifma"),
    ];
    let enabled: Vec<&str> = features.into_iter().filter_map(|(enabled, name)| enabled.then_some(name)).collect();
    if enabled.is_empty() { format!("generic {}", std::env::consts::ARCH) } else { list(&enabled) }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none of note".to_owned() } else { names.join(", ") }
}

/// Type of the file system that holds `directory`.
fn file_system(directory: &Path) -> Result<String> {
    let device = std::fs::metadata(directory).context("looking at the state directory")?.st_dev();
    let mounts = read("/proc/self/mountinfo")?;
    Ok(mounted(&mounts, device).unwrap_or("unknown file system").to_owned())
}

/// From lines `id parent major:minor … - type source options`.
fn mounted(mounts: &str, device: u64) -> Option<&str> {
    // As the kernel splits a 64-bit device number.
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    let device = format!("{major}:{minor}");
    let mount = mounts.lines().find(|line| line.split_whitespace().nth(2) == Some(device.as_str()))?;
    mount.split_once(" - ")?.1.split_whitespace().next()
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = describe(Path::new("/proc")).unwrap();
        assert_eq!(machine.file_system, "proc");
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20);
        assert!(describe(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn a_mount_is_found_by_its_device() {
        let mounts = "21 1 254:0 / / rw - ext4 /dev/vda rw\n22 21 0:20 / /proc rw shared:5 - proc proc rw\n";
        assert_eq!(mounted(mounts, 254 << 8), Some("ext4"));
        assert_eq!(mounted(mounts, 20), Some("proc"));
        assert_eq!(mounted(mounts, 21), None);
    }
}
