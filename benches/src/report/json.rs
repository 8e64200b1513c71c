//! The file for programs: the outcome, field by field, in the order of its declaration and with sorted maps, so that two files can be
//! compared line by line.

use crate::result::{FORMAT, Outcome};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::io::Write;
use std::path::Path;

/// Longest file that is read: a run of a day has 86,400 seconds at some 200 bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The file's text.
///
/// # Errors
/// If a figure is no number: JSON has no way to write it, and no reader would take what is written instead.
pub fn write(outcome: &Outcome) -> Result<String> {
    let mut text = serde_json::to_string_pretty(outcome).context("writing the outcome")?;
    read(&text).context("the outcome holds a figure that is not a number")?;
    text.push('\n');
    Ok(text)
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// If it is something else, or of another version.
pub fn read(text: &str) -> Result<Outcome> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_str(text).context("this is no outcome of a run")?;
    ensure!(head.format == FORMAT, "the file has format {}, this program reads {FORMAT}", head.format);
    serde_json::from_str(text).context("this is no outcome of a run")
}

/// Reads the file at `path`.
///
/// # Errors
/// As [`read`], and if there is no such file or it is too long.
pub fn load(path: &Path) -> Result<Outcome> {
    let length = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?.len();
    ensure!(length <= FILE_BYTES_MAX, "{} has {length} bytes, at most {FILE_BYTES_MAX} are read", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    read(&text).with_context(|| format!("reading {}", path.display()))
}

/// Puts `text` at `path`, whole or not at all: a run that is stopped meanwhile leaves the former file.
///
/// # Errors
/// If the directory cannot be written.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let context = || format!("writing {}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    // A temporary file is its owner's alone; a report is for everybody who may read the directory.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable).with_context(context)?;
    file.persist(path).with_context(context)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_stays_the_same() {
        let outcome = sample::one_shard();
        let text = write(&outcome).unwrap();
        assert_eq!(read(&text).unwrap(), outcome);
        assert_eq!(write(&read(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn no_number_other_formats_and_other_files_are_refused() {
        let mut outcome = sample::one_shard();
        outcome.certified_per_second = f64::NAN;
        assert!(write(&outcome).is_err());
        let mut outcome = sample::one_shard();
        outcome.format = FORMAT + 1;
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(format!("{:#}", read(&text).unwrap_err()).contains("format 2"));
        assert!(read("{}").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn a_saved_file_replaces_the_former_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.json");
        save(&path, "old").unwrap();
        save(&path, &write(&sample::one_shard()).unwrap()).unwrap();
        assert_eq!(load(&path).unwrap(), sample::one_shard());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(load(&directory.path().join("missing")).is_err());
    }
}
