//! What the run happens on: described without names or paths, so that it can be published.

use crate::measure::kib_field;
use anyhow::{Context, Result};
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The machine, in words.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    /// The kernel's setting of transparent huge pages.
    pub(crate) huge_pages: String,
}

impl Machine {
    /// This machine; `directory` is where the disk contenders write.
    pub(crate) fn describe(directory: &Path) -> Result<Self> {
        let cpu = read("/proc/cpuinfo")?;
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        let huge = huge.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        Ok(Self {
            cpu: cpu.map_or("unknown CPU", |(_, model)| model.trim()).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_bytes: kib_field(&read("/proc/meminfo")?, "MemTotal:").context("no MemTotal")?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            filesystem: filesystem(directory)?,
            huge_pages: huge.map_or("unknown", |(setting, _)| setting).to_owned(),
        })
    }
}

/// Load averages over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> Result<String> {
    Ok(read("/proc/loadavg")?.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Cache flushes that the block device under `directory` has completed since boot, for whomever; `None` where the
/// file system has no block device of its own or the kernel does not count them.
pub(crate) fn device_flushes(directory: &Path) -> Option<u64> {
    let mut device = PathBuf::from(format!("/sys/dev/block/{}", device_number(directory).ok()?));
    if device.join("partition").exists() {
        // Flushes are counted for whole devices only.
        device = device.canonicalize().ok()?.parent()?.to_owned();
    }
    let counters = std::fs::read_to_string(device.join("stat")).ok()?;
    counters.split_whitespace().nth(15)?.parse().ok()
}

/// Type of the file system that holds `directory`.
fn filesystem(directory: &Path) -> Result<String> {
    let device = device_number(directory)?;
    let mounts = read("/proc/self/mountinfo")?;
    let mount = mounts.lines().find(|line| line.split_whitespace().nth(2) == Some(&device));
    let kind = mount.and_then(|line| line.split_once(" - ")?.1.split_whitespace().next());
    Ok(kind.unwrap_or("unknown file system").to_owned())
}

/// `major:minor` of the device that holds `directory`.
fn device_number(directory: &Path) -> Result<String> {
    let device = std::fs::metadata(directory).context("looking at the scratch directory")?.dev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {path}"))
}
