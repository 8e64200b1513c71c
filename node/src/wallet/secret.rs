//! Where secrets come from: a terminal, a file, a file descriptor or standard input; never the command line or the
//! environment, which other processes can read.

use super::durable;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// Shortest passphrase of a new key, in bytes.
pub const PASSPHRASE_BYTES_MIN: usize = 8;

/// Longest file that holds one hex key: 64 digits with room for white space.
const KEY_FILE_BYTES_MAX: usize = 256;

/// The 32 secret bytes an ed25519 key is made from. Wiped from memory when dropped, shown nowhere.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Seed {
        Seed(Zeroizing::new(bytes))
    }

    /// New bytes from the operating system.
    ///
    /// # Errors
    /// [`SecretError::Random`] if it has none to give.
    pub fn generate() -> Result<Seed, SecretError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|error| SecretError::Random(error.to_string()))?;
        Ok(Seed(bytes))
    }

    /// Reads 64 hex digits with white space around them.
    ///
    /// # Errors
    /// [`SecretError::NotASeed`] for anything else; the text is not part of the error.
    pub fn from_hex(text: &str) -> Result<Seed, SecretError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        let text = text.trim();
        match hex::decode_to_slice(text, bytes.as_mut()) {
            Ok(()) => Ok(Seed(bytes)),
            Err(_) => Err(SecretError::NotASeed { characters: text.chars().count() }),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A passphrase, wiped from memory when dropped.
pub type Passphrase = Zeroizing<String>;

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// Not a hex seed.
    #[error("a key is 64 hex digits (a 32-byte seed); this is {characters} characters that are not")]
    NotASeed {
        /// Length of what was read.
        characters: usize,
    },
    /// Others could read the secret.
    #[error("{} can be read by others; run: chmod 600 {}", .0.display(), .0.display())]
    TooOpen(PathBuf),
    /// The source could not be read.
    #[error("cannot read {from}")]
    Read {
        /// What was read.
        from: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Not text.
    #[error("{0} does not hold UTF-8 text")]
    NotText(String),
    /// No terminal and no other source named.
    #[error("no terminal to ask for {0}; name a file or a file descriptor instead (see --help)")]
    NoTerminal(&'static str),
    /// The two entries differ.
    #[error("the two passphrases differ")]
    Differ,
    /// Too short for a new key.
    #[error("a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes, this one has {0}")]
    TooShort(usize),
}

/// Where the passphrase of a key comes from. Without either flag it is asked for on the terminal.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PassphraseSource {
    /// Read the passphrase from this open file descriptor, up to the first line end
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u16>,
    /// Read the passphrase from the first line of this file; refused if others can read it
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl PassphraseSource {
    /// The passphrase of an existing key called `name`.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn ask(&self, name: &str) -> Result<Passphrase, SecretError> {
        match self.read_given()? {
            Some(passphrase) => Ok(passphrase),
            None => prompt("the passphrase", &format!("Passphrase of key {name}: ")),
        }
    }

    /// A passphrase for a new key called `name`: asked for twice on a terminal.
    ///
    /// # Errors
    /// [`SecretError`]; also if it is too short.
    pub fn ask_new(&self, name: &str) -> Result<Passphrase, SecretError> {
        let passphrase = match self.read_given()? {
            Some(passphrase) => passphrase,
            None => {
                let first = prompt("the passphrase", &format!("New passphrase for key {name}: "))?;
                if first.len() >= PASSPHRASE_BYTES_MIN && prompt("the passphrase", "The same again: ")? != first {
                    return Err(SecretError::Differ);
                }
                first
            }
        };
        if passphrase.len() < PASSPHRASE_BYTES_MIN {
            return Err(SecretError::TooShort(passphrase.len()));
        }
        Ok(passphrase)
    }

    fn read_given(&self) -> Result<Option<Passphrase>, SecretError> {
        let path = match (&self.passphrase_fd, &self.passphrase_file) {
            // The descriptor is opened again by its name: taking over a raw number cannot be done safely.
            (Some(number), _) => PathBuf::from(format!("/dev/fd/{number}")),
            (None, Some(path)) => path.clone(),
            (None, None) => return Ok(None),
        };
        let mut text = read_text(&path, PASSPHRASE_BYTES_MAX)?;
        if let Some(end) = text.find(['\n', '\r']) {
            text.truncate(end);
        }
        Ok(Some(text))
    }
}

/// Reads a hex seed from `path`, or from standard input if it is `-`.
///
/// # Errors
/// [`SecretError`]; also if others than the owner can read the file.
pub fn read_seed(path: &Path) -> Result<Seed, SecretError> {
    if path == Path::new("-") {
        let text = bounded_text(io::stdin().lock(), "standard input", KEY_FILE_BYTES_MAX)?;
        return Seed::from_hex(&text);
    }
    Seed::from_hex(&read_text(path, KEY_FILE_BYTES_MAX)?)
}

/// Asks for a hex seed on the terminal, without echo.
///
/// # Errors
/// [`SecretError`].
pub fn prompt_seed() -> Result<Seed, SecretError> {
    Seed::from_hex(&prompt("the key", "Key (64 hex digits): ")?)
}

fn read_text(path: &Path, max: usize) -> Result<Zeroizing<String>, SecretError> {
    let fault = |source| SecretError::Read { from: path.display().to_string(), source };
    if durable::foreign_mode(path).map_err(fault)? != 0 {
        return Err(SecretError::TooOpen(path.to_owned()));
    }
    bounded_text(File::open(path).map_err(fault)?, &path.display().to_string(), max)
}

fn bounded_text(source: impl io::Read, from: &str, max: usize) -> Result<Zeroizing<String>, SecretError> {
    let bytes = Zeroizing::new(
        durable::read_from(source, max).map_err(|source| SecretError::Read { from: from.to_owned(), source })?,
    );
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(SecretError::NotText(from.to_owned())),
    }
}

fn prompt(what: &'static str, text: &str) -> Result<Zeroizing<String>, SecretError> {
    // The prompt goes to the controlling terminal itself, so standard output stays clean for --json.
    if !io::stdin().is_terminal() && File::open("/dev/tty").is_err() {
        return Err(SecretError::NoTerminal(what));
    }
    rpassword::prompt_password(text)
        .map(Zeroizing::new)
        .map_err(|source| SecretError::Read { from: "the terminal".into(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn source(path: &Path) -> PassphraseSource {
        PassphraseSource { passphrase_fd: None, passphrase_file: Some(path.to_owned()) }
    }

    #[test]
    fn first_line_is_the_passphrase() {
        let file = file("correct horse \r\nbattery\n", 0o600);
        assert_eq!(source(file.path()).ask("a").unwrap().as_str(), "correct horse ");
    }

    #[test]
    fn passphrase_comes_through_an_open_descriptor() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"correct horse\n").unwrap();
        drop(writer);
        let number = u16::try_from(reader.as_raw_fd()).unwrap();
        let source = PassphraseSource { passphrase_fd: Some(number), passphrase_file: None };
        assert_eq!(source.ask_new("a").unwrap().as_str(), "correct horse");
        let closed = PassphraseSource { passphrase_fd: Some(u16::MAX), passphrase_file: None };
        assert!(matches!(closed.ask("a"), Err(SecretError::Read { .. })));
    }

    #[test]
    fn short_passphrase_is_refused_for_a_new_key_only() {
        let file = file("short\n", 0o400);
        assert!(matches!(source(file.path()).ask_new("a"), Err(SecretError::TooShort(5))));
        assert_eq!(source(file.path()).ask("a").unwrap().as_str(), "short");
    }

    #[test]
    fn file_others_can_read_is_refused_with_the_command() {
        let file = file("correct horse\n", 0o640);
        let error = source(file.path()).ask("a").unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(matches!(read_seed(file.path()), Err(SecretError::TooOpen(_))));
    }

    #[test]
    fn seed_is_64_hex_digits_and_never_shown() {
        let file = file(&format!("  {}\n", "0f".repeat(32)), 0o600);
        let seed = read_seed(file.path()).unwrap();
        assert_eq!(seed.as_bytes(), &[15; 32]);
        assert_eq!(format!("{seed:?}"), "Seed(…)");
        for bad in ["", "0f", &"0g".repeat(32), &"0f".repeat(33)] {
            let error = Seed::from_hex(bad).unwrap_err();
            assert!(matches!(error, SecretError::NotASeed { .. }));
            assert!(bad.is_empty() || !error.to_string().contains("0f"));
        }
    }
}
