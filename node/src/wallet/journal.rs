//! Every payment this wallet ever signed, one directory per network and account, on disk before it is sent.
//!
//! | file | holds |
//! | --- | --- |
//! | `lock` | nothing; whoever signs for the account holds an exclusive lock on it |
//! | `notes.lock` | nothing; held for the moment it takes to write a note or a receipt; taken after `lock`, never before |
//! | `<seq>.payment` | the signed payment, canonical bytes in hex; written once, never changed |
//! | `<seq>.note` | how far it is known to have come, and whether its outcome was told to the user |
//! | `<seq>.receipt` | its receipt, canonical bytes; written only after it verified offline |
//!
//! The one rule: **a seq is given out once.** A payment file is made by a call that fails if the name exists, so even two
//! processes without the lock cannot both win; the lock makes the loser wait and choose the next seq instead of failing.
//! Only when that call has returned, with file and directory synced, may the payment leave the process.

use super::durable;
use serde::{Deserialize, Serialize};
use smt_types::payment::MAX_PAYMENT_BYTES;
use smt_types::receipt::MAX_RECEIPT_BYTES;
use smt_types::{Address, Canonical, NetworkId, Seq, SignedPayment};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest payment file: hex and a line end.
const PAYMENT_FILE_BYTES_MAX: usize = 2 * MAX_PAYMENT_BYTES + 2;

/// Longest note.
const NOTE_BYTES_MAX: usize = 4_096;

/// Time between two tries for the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Longest wait for the lock of the notes, which nobody holds for longer than two file writes.
const NOTES_PATIENCE: Duration = Duration::from_secs(30);

/// How far a signed payment is known to have come, in ascending order of knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// On disk; nobody is known to have it.
    Signed,
    /// A replica took it.
    Received,
    /// A quorum accepts it: later payments may be signed.
    Certified,
    /// Its seq went to another payment or was voided: it will never be applied.
    Passed,
    /// Paid: a receipt that verifies is in the journal.
    Final,
}

/// What the journal says of one payment beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// How far it has come.
    pub progress: Progress,
    /// Whether the user was told the outcome. Until then the same request means this payment, not a second one.
    pub reported: bool,
    /// Why it stands where it stands, as an error kind; empty if there is nothing to say.
    pub reason: String,
}

impl Note {
    const FRESH: Note = Note { progress: Progress::Signed, reported: false, reason: String::new() };
}

/// Why the journal cannot answer, or refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another payment was signed at this seq.
    #[error(
        "seq {seq} was given to payment {held} before; two payments at one seq are never signed (wanted: {wanted})"
    )]
    OtherPayment {
        /// The seq.
        seq: Seq,
        /// Id of the payment in the journal.
        held: String,
        /// Id of the payment that is refused.
        wanted: String,
    },
    /// A payment of another network or account.
    #[error("payment is of network {network}, account {payer}: not of this journal")]
    Foreign {
        /// Its network.
        network: NetworkId,
        /// Its payer, hex.
        payer: String,
    },
    /// A file that does not hold what its name says.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process is signing for this account.
    #[error("another wallet process has been signing for this account for {0:?}; try again")]
    Busy(Duration),
    /// The file system refuses.
    #[error("{}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The payments of one account in one network.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    network: NetworkId,
    payer: Address,
}

/// The journal while this process alone may sign for the account; dropping it gives the lock back.
#[derive(Debug)]
pub struct LockedJournal {
    journal: Journal,
    _lock: File,
}

impl Journal {
    /// Opens the journal under a network's directory; makes it if it is missing.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn open(network_dir: &Path, network: NetworkId, payer: Address) -> Result<Journal, JournalError> {
        let dir = network_dir.join(hex::encode(payer.0));
        durable::make_dir(&dir).map_err(|source| file_error(&dir, source))?;
        Ok(Journal { dir, network, payer })
    }

    /// Waits at most `patience` for the lock.
    ///
    /// # Errors
    /// [`JournalError::Busy`] if another process keeps it longer.
    pub fn lock(&self, patience: Duration) -> Result<LockedJournal, JournalError> {
        let lock = self.acquire("lock", patience)?;
        let _notes = self.acquire("notes.lock", NOTES_PATIENCE)?;
        // Holding both locks, nobody else is writing here: what is temporary is left over.
        durable::sweep(&self.dir).map_err(|source| file_error(&self.dir, source))?;
        // A crash between the last entry's name and its sync may have left the name in memory only; whoever builds on
        // an entry makes sure of it first.
        durable::sync_dir(&self.dir).map_err(|source| file_error(&self.dir, source))?;
        Ok(LockedJournal { journal: self.clone(), _lock: lock })
    }

    /// Every seq given out, with what is known of it.
    ///
    /// # Errors
    /// [`JournalError`] for an unreadable note.
    pub fn notes(&self) -> Result<BTreeMap<Seq, Note>, JournalError> {
        let mut notes = BTreeMap::new();
        let fault = |source| file_error(&self.dir, source);
        for entry in std::fs::read_dir(&self.dir).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name();
            let seq = name.to_str().and_then(|name| name.strip_suffix(".payment")).and_then(|text| text.parse().ok());
            if let Some(seq) = seq.map(Seq) {
                notes.insert(seq, self.note(seq)?);
            }
        }
        Ok(notes)
    }

    /// What is known of the payment at `seq`.
    ///
    /// # Errors
    /// [`JournalError`] for an unreadable note.
    pub fn note(&self, seq: Seq) -> Result<Note, JournalError> {
        let path = self.path(seq, "note");
        let mut note = match durable::read(&path, NOTE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Note::FRESH,
            Err(source) => return Err(file_error(&path, source)),
        };
        // The receipt is the proof; the note beside it may be older.
        if self.path(seq, "receipt").exists() {
            note.progress = Progress::Final;
        }
        Ok(note)
    }

    /// The payment at `seq`, checked: of this network and account, at this seq, properly signed.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if it is not.
    pub fn payment(&self, seq: Seq) -> Result<Option<SignedPayment>, JournalError> {
        let path = self.path(seq, "payment");
        let text = match durable::read(&path, PAYMENT_FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file_error(&path, source)),
        };
        let bytes = hex::decode(text.trim_ascii_end()).map_err(|error| damaged(&path, error))?;
        let signed = SignedPayment::from_bytes(&bytes, MAX_PAYMENT_BYTES).map_err(|error| damaged(&path, error))?;
        if !self.owns(&signed) || signed.payment.seq != seq {
            return Err(damaged(&path, "it is of another network, account or seq"));
        }
        if !signed.is_signed() {
            return Err(damaged(&path, "its signature does not verify"));
        }
        Ok(Some(signed))
    }

    /// The receipt at `seq`, as it was when it verified.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn receipt(&self, seq: Seq) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.path(seq, "receipt");
        match durable::read(&path, MAX_RECEIPT_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file_error(&path, source)),
        }
    }

    /// The file of one part of an entry.
    #[must_use]
    pub fn path(&self, seq: Seq, part: &str) -> PathBuf {
        self.dir.join(format!("{:020}.{part}", seq.0))
    }

    /// Adds to what is known of a payment. Knowledge only grows: a lower progress changes nothing.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn learn(&self, seq: Seq, progress: Progress, reason: &str) -> Result<(), JournalError> {
        let _notes = self.acquire("notes.lock", NOTES_PATIENCE)?;
        let mut note = self.note(seq)?;
        if progress < note.progress || (progress == note.progress && note.reason == reason) {
            return Ok(());
        }
        note.progress = progress;
        reason.clone_into(&mut note.reason);
        self.write_note(seq, &note)
    }

    /// Remembers that the user was told how this payment ended: the same request is a second payment from here on.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn reported(&self, seq: Seq) -> Result<(), JournalError> {
        let _notes = self.acquire("notes.lock", NOTES_PATIENCE)?;
        let note = self.note(seq)?;
        if note.reported { Ok(()) } else { self.write_note(seq, &Note { reported: true, ..note }) }
    }

    /// Keeps a receipt that the caller has verified to be of the payment at `seq`.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn finish(&self, seq: Seq, receipt: &[u8]) -> Result<(), JournalError> {
        let _notes = self.acquire("notes.lock", NOTES_PATIENCE)?;
        let path = self.path(seq, "receipt");
        match durable::create(&path, receipt) {
            // Any verified receipt proves the same; the first one stays.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome.map_err(|source| file_error(&path, source)),
        }
    }

    fn write_note(&self, seq: Seq, note: &Note) -> Result<(), JournalError> {
        let path = self.path(seq, "note");
        let bytes = serde_json::to_vec(note).map_err(|error| damaged(&path, error))?;
        durable::replace(&path, &bytes).map_err(|source| file_error(&path, source))
    }

    fn acquire(&self, name: &str, patience: Duration) -> Result<File, JournalError> {
        let path = self.dir.join(name);
        let fault = |source| file_error(&path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(fault)?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(source)) => return Err(fault(source)),
                Err(TryLockError::WouldBlock) if start.elapsed() >= patience => {
                    return Err(JournalError::Busy(patience));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            }
        }
    }

    fn owns(&self, signed: &SignedPayment) -> bool {
        signed.payment.network == self.network && signed.payment.payer.address() == self.payer
    }
}

impl LockedJournal {
    /// The journal itself.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Gives a seq to a payment. On `Ok` it survives a power cut and may be sent: the answer holds the bytes to send,
    /// which are the ones on disk if this payment was recorded before.
    ///
    /// # Errors
    /// [`JournalError::OtherPayment`] if the seq was given to another payment, ever.
    pub fn record(&self, signed: &SignedPayment) -> Result<SignedPayment, JournalError> {
        let journal = &self.journal;
        if !journal.owns(signed) {
            return Err(JournalError::Foreign {
                network: signed.payment.network,
                payer: hex::encode(signed.payment.payer.address().0),
            });
        }
        let seq = signed.payment.seq;
        let path = journal.path(seq, "payment");
        let text = format!("{}\n", hex::encode(signed.to_bytes()));
        match durable::create(&path, text.as_bytes()) {
            Ok(()) => Ok(signed.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match journal.payment(seq)? {
                Some(held) if held.payment == signed.payment => Ok(held),
                Some(held) => Err(JournalError::OtherPayment {
                    seq,
                    held: held.payment.id().to_string(),
                    wanted: signed.payment.id().to_string(),
                }),
                None => Err(damaged(&path, "it vanished while it was read")),
            },
            Err(source) => Err(file_error(&path, source)),
        }
    }
}

fn file_error(path: &Path, source: io::Error) -> JournalError {
    JournalError::File { path: path.to_owned(), source }
}

fn damaged(path: &Path, reason: impl std::fmt::Display) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

/// What has to happen before a new payment may be signed, and at which seq it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Recorded payments that are in the way and not known to be certified, in seq order: send them again first.
    pub resend: Vec<Seq>,
    /// The seq of the next new payment.
    pub sign_at: Seq,
}

/// Why no seq can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The journal has later payments, and nothing at this one.
    #[error(
        "the endpoint says the next seq is {missing}, where this wallet has signed nothing, but it has signed seq {held}: \
         either the endpoint is behind (try again or another one), or the key is used elsewhere too, or a payment was \
         signed ahead. To sign at {missing} all the same, say --seq {missing}"
    )]
    Gap {
        /// The seq without a payment.
        missing: Seq,
        /// The next seq with one.
        held: Seq,
    },
    /// The seq that was asked for was used.
    #[error("seq {asked} was used before: the next free one is {next}")]
    Used {
        /// The seq asked for.
        asked: Seq,
        /// The lowest that may be used.
        next: Seq,
    },
    /// No seq is left.
    #[error("this account has used all its payment numbers")]
    Exhausted,
}

/// Chooses the next seq from what the endpoint says and what the journal holds.
///
/// `next`: the account's next seq according to the endpoint; may be wrong in either direction. `asked`: the user's own
/// choice. The answer is never a seq in `held`, and never one that a receipt shows to be passed.
///
/// # Errors
/// [`PlanError`].
pub fn plan(next: Seq, asked: Option<Seq>, held: &BTreeMap<Seq, Progress>) -> Result<Plan, PlanError> {
    let paid = held.iter().rev().find(|(_, progress)| **progress == Progress::Final).map(|(seq, _)| *seq);
    // A verified receipt proves that its seq and all before it are passed, whatever the endpoint says.
    let floor = match paid {
        Some(seq) => seq.next().ok_or(PlanError::Exhausted)?.max(next),
        None => next,
    };
    let mut resend = Vec::new();
    let mut sign_at = floor;
    while let Some(progress) = held.get(&sign_at) {
        if *progress < Progress::Certified {
            resend.push(sign_at);
        }
        sign_at = sign_at.next().ok_or(PlanError::Exhausted)?;
    }
    match asked {
        Some(seq) if seq < floor || held.contains_key(&seq) => Err(PlanError::Used { asked: seq, next: sign_at }),
        // Ahead of the next seq nothing has to be certified first: it waits for the ones before it anyway.
        Some(seq) => Ok(Plan { resend, sign_at: seq }),
        None => match held.range(sign_at..).next() {
            Some((later, _)) => Err(PlanError::Gap { missing: sign_at, held: *later }),
            None => Ok(Plan { resend, sign_at }),
        },
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
