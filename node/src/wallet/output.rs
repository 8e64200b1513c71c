//! What a command says and how it exits: one text for people, one JSON line for programs.

use super::endpoint::CallError;
use super::journal::{Journal, JournalError, PlanError};
use super::keystore::KeystoreError;
use super::network::{NetworkError, ProofError};
use super::secret::SecretError;
use super::send::SendError;
use serde_json::{Map, Value, json};
use smt_types::Seq;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused or failed: the same command will fail again.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Not finished: the same command goes on where this one stopped.
    Unfinished = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A payment whose outcome is told with this output; remembered once it has been written.
pub type Told = Option<(Journal, Seq)>;

/// What a command has to say.
#[derive(Debug)]
pub struct Report {
    /// For people; may have several lines, no line end.
    pub human: String,
    /// For programs: an object; `ok` is added.
    pub json: Value,
    /// The payment told about.
    pub told: Told,
}

impl Report {
    /// A report that tells of no payment's outcome.
    #[must_use]
    pub fn new(human: impl Into<String>, json: Value) -> Report {
        Report { human: human.into(), json, told: None }
    }
}

/// Why a command has nothing better to say. Boxed: most calls succeed and should not carry its size around.
#[derive(Debug)]
pub struct Failure(Box<FailureParts>);

/// What a failure says.
#[derive(Debug)]
pub struct FailureParts {
    /// How to exit.
    pub exit: Exit,
    /// Stable word for programs.
    pub kind: String,
    /// For people: the whole chain of causes in one line.
    pub message: String,
    /// More for programs, by name.
    pub fields: Map<String, Value>,
    /// The payment told about.
    pub told: Told,
}

impl std::ops::Deref for Failure {
    type Target = FailureParts;
    fn deref(&self) -> &FailureParts {
        &self.0
    }
}

impl std::ops::DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut FailureParts {
        &mut self.0
    }
}

impl Failure {
    /// A failure of `kind`; the message is `error` with all its causes.
    pub fn new(exit: Exit, kind: &str, error: &dyn std::error::Error) -> Failure {
        Failure::text(exit, kind, chain(error))
    }

    /// A failure with a text of its own.
    pub fn text(exit: Exit, kind: &str, message: impl Into<String>) -> Failure {
        Failure(Box::new(FailureParts {
            exit,
            kind: kind.to_owned(),
            message: message.into(),
            fields: Map::new(),
            told: None,
        }))
    }

    /// The same with one more value for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Failure {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

/// An error and its causes, none said twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        let kind = match error {
            SecretError::TooOpen(_) => "too_open",
            SecretError::NotASeed { .. } => "not_a_key",
            SecretError::Differ | SecretError::TooShort(_) => "bad_passphrase",
            _ => "secret",
        };
        Failure::new(Exit::Failed, kind, &error)
    }
}

impl From<KeystoreError> for Failure {
    fn from(error: KeystoreError) -> Failure {
        let kind = match error {
            KeystoreError::Name(_) => "bad_name",
            KeystoreError::Unknown { .. } => "unknown_key",
            KeystoreError::Taken(_) | KeystoreError::Held(_) => "key_exists",
            KeystoreError::TooOpen { .. } => "too_open",
            KeystoreError::Damaged { .. } | KeystoreError::Foreign(_) => "damaged",
            KeystoreError::Version { .. } => "newer_version",
            KeystoreError::Passphrase(_) => "wrong_passphrase",
            KeystoreError::Secret(inner) => return inner.into(),
            _ => "keystore",
        };
        Failure::new(Exit::Failed, kind, &error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        let (exit, kind) = match error {
            JournalError::OtherPayment { .. } => (Exit::Failed, "seq_given_out"),
            JournalError::Foreign { .. } => (Exit::Failed, "wrong_network"),
            JournalError::Damaged { .. } => (Exit::Failed, "damaged"),
            JournalError::Busy(_) => (Exit::Unfinished, "busy"),
            JournalError::File { .. } => (Exit::Failed, "file"),
        };
        Failure::new(exit, kind, &error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let exit = if error.retryable() { Exit::Unfinished } else { Exit::Failed };
        Failure::new(exit, error.kind(), &error)
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Failure {
        let kind = match error {
            NetworkError::Call(inner) => return inner.into(),
            NetworkError::OtherGenesis { .. } | NetworkError::Hash { .. } => "other_genesis",
            NetworkError::Number { .. } => "wrong_network",
            NetworkError::Unknown(_) => "unknown_network",
            NetworkError::Genesis(_) | NetworkError::State(_) => "bad_genesis",
            NetworkError::NoFile => "no_genesis_file",
            NetworkError::Damaged { .. } => "damaged",
            NetworkError::File { .. } => "file",
        };
        Failure::new(Exit::Failed, kind, &error)
    }
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Failure {
        Failure::new(Exit::Failed, "receipt_refused", &error)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        let kind = match error {
            PlanError::Gap { .. } => "seq_gap",
            PlanError::Used { .. } => "seq_used",
            PlanError::Exhausted => "seq_exhausted",
        };
        Failure::new(Exit::Failed, kind, &error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Failure {
        let place = |failure: Failure, seq: Seq, id: String| failure.with("seq", seq.to_string()).with("id", id);
        match &error {
            SendError::Refused { kind, .. } => Failure::new(Exit::Failed, kind, &error),
            SendError::Call(cause) => {
                let exit = if cause.retryable() { Exit::Unfinished } else { Exit::Failed };
                Failure::new(exit, cause.kind(), &error)
            }
            SendError::InTheWay { seq, id, cause } => {
                let unfinished = matches!(**cause, SendError::Unfinished { .. });
                let exit = if unfinished { Exit::Unfinished } else { Exit::Failed };
                place(Failure::new(exit, "in_the_way", &error), *seq, id.to_string())
            }
            SendError::Unfinished { seq, id, stage, cause } => {
                let failure = Failure::text(
                    Exit::Unfinished,
                    cause.kind(),
                    format!("{}\nthe payment is kept; the same command goes on with it", chain(&error)),
                );
                let stage = stage.map(|stage| Value::from(stage.word())).unwrap_or_default();
                place(failure, *seq, id.to_string()).with("stage", stage)
            }
            SendError::Dead { seq, id, cause } => {
                place(Failure::new(Exit::Failed, cause.kind(), &error), *seq, id.to_string())
            }
            SendError::Rejected { seq, id, cause } => {
                place(Failure::new(Exit::Failed, cause.kind(), &error), *seq, id.to_string())
            }
            SendError::Unproven { seq, id, .. } => {
                place(Failure::new(Exit::Failed, "receipt_refused", &error), *seq, id.to_string())
            }
            SendError::Confused { seq, id, .. } => {
                place(Failure::new(Exit::Failed, "confused_endpoint", &error), *seq, id.to_string())
            }
            SendError::Journal(_) | SendError::Plan(_) => match error {
                SendError::Journal(inner) => inner.into(),
                SendError::Plan(inner) => inner.into(),
                other => Failure::new(Exit::Failed, "failed", &other),
            },
        }
    }
}

/// Writes the outcome of a command: a report to standard output; a failure to standard error, as JSON to standard
/// output. What was told is remembered only once it has been written.
pub fn finish(outcome: Result<Report, Failure>, as_json: bool) -> Exit {
    let (exit, told, written) = match outcome {
        Ok(Report { human, json, told }) => {
            let text = if as_json { json_line(true, json) } else { human };
            (Exit::Done, told, write_line(&mut io::stdout().lock(), &text))
        }
        Err(Failure(failure)) => {
            let written = if as_json {
                let mut fields = failure.fields;
                fields.insert("kind".into(), failure.kind.into());
                fields.insert("message".into(), failure.message.into());
                fields.insert("retryable".into(), (failure.exit == Exit::Unfinished).into());
                write_line(&mut io::stdout().lock(), &json_line(false, Value::Object(fields)))
            } else {
                let kind = format!(" ({})", failure.kind);
                let kind = if failure.message.contains(&kind) { "" } else { &kind };
                write_line(&mut io::stderr().lock(), &format!("error: {}{kind}", failure.message))
            };
            (failure.exit, failure.told, written)
        }
    };
    if written.is_err() {
        return Exit::Failed;
    }
    if let Some((journal, seq)) = told
        && let Err(error) = journal.reported(seq)
    {
        say(&format!("warning: cannot note that this outcome was told: {}", chain(&error)));
    }
    exit
}

/// A line to the user beside the result. A closed standard error is no reason to stop a payment.
pub fn say(text: &str) {
    drop(write_line(&mut io::stderr().lock(), text));
}

fn json_line(ok: bool, value: Value) -> String {
    let mut object = Map::new();
    object.insert("ok".into(), ok.into());
    match value {
        Value::Object(fields) => object.extend(fields),
        other => {
            object.insert("result".into(), other);
        }
    }
    json!(object).to_string()
}

fn write_line(to: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return to.flush();
    }
    writeln!(to, "{text}")?;
    to.flush()
}
