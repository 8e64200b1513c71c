//! Ranges that a request's types do not express, and its defaults.

use super::schema::{
    self, HISTORY_LIMIT_MAX, IDS_PER_CALL_MAX, PAYMENTS_PER_CALL_MAX, STAGES_FOLLOWED, TIMEOUT_MS_DEFAULT,
    TIMEOUT_MS_MAX, Topic, WaitFor,
};
use std::time::Duration;

/// A request with rules beyond its types.
pub trait Check {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A sentence naming the parameter, its value and the range; reported as `invalid_params`.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Check for schema::Empty {}
impl Check for schema::ById {}
impl Check for schema::ByAddress {}
impl Check for schema::SnapshotQuery {}
impl Check for schema::Unsubscribe {}

fn check_timeout(timeout_ms: Option<u32>) -> Result<(), String> {
    match timeout_ms {
        Some(ms) if ms > TIMEOUT_MS_MAX => Err(format!("timeout_ms is {ms}, at most {TIMEOUT_MS_MAX} is allowed")),
        _ => Ok(()),
    }
}

macro_rules! waits {
    ($($ty:ty),*) => {$(
        impl $ty {
            /// The stage to wait for.
            #[must_use]
            pub fn wait_for(&self) -> WaitFor {
                self.wait.unwrap_or(WaitFor::Final)
            }

            /// How long to wait.
            #[must_use]
            pub fn timeout(&self) -> Duration {
                Duration::from_millis(u64::from(self.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT)))
            }
        }
    )*};
}
waits!(schema::SubmitTransaction, schema::SubmitTransactions, schema::Faucet);

impl Check for schema::SubmitTransaction {
    fn check(&self) -> Result<(), String> {
        check_timeout(self.timeout_ms)
    }
}

impl Check for schema::SubmitTransactions {
    fn check(&self) -> Result<(), String> {
        match self.payments.len() {
            1..=PAYMENTS_PER_CALL_MAX => check_timeout(self.timeout_ms),
            count => Err(format!("payments has {count} items, 1 to {PAYMENTS_PER_CALL_MAX} are allowed")),
        }
    }
}

impl Check for schema::ByIds {
    fn check(&self) -> Result<(), String> {
        match self.ids.len() {
            1..=IDS_PER_CALL_MAX => Ok(()),
            count => Err(format!("ids has {count} items, 1 to {IDS_PER_CALL_MAX} are allowed")),
        }
    }
}

impl Check for schema::Faucet {
    fn check(&self) -> Result<(), String> {
        check_timeout(self.timeout_ms)
    }
}

impl schema::AccountHistory {
    /// Entries wanted.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.limit.unwrap_or(HISTORY_LIMIT_MAX)
    }
}

impl Check for schema::AccountHistory {
    fn check(&self) -> Result<(), String> {
        match self.page_size() {
            1..=HISTORY_LIMIT_MAX => Ok(()),
            limit => Err(format!("limit is {limit}, 1 to {HISTORY_LIMIT_MAX} are allowed")),
        }
    }
}

impl Check for schema::Subscribe {
    fn check(&self) -> Result<(), String> {
        let given = (self.id.is_some(), self.address.is_some(), self.stages.as_deref());
        match (self.topic, given) {
            (Topic::Epochs, (false, false, None))
            | (Topic::Transaction, (true, false, None))
            | (Topic::Account, (false, true, None)) => Ok(()),
            (Topic::Stages, (false, false, Some(stages))) => check_stages(stages),
            (Topic::Epochs, _) => Err("topic epochs takes neither id, address nor stages".into()),
            (Topic::Transaction, _) => Err("topic transaction takes id and nothing else".into()),
            (Topic::Account, _) => Err("topic account takes address and nothing else".into()),
            (Topic::Stages, _) => Err("topic stages takes stages and nothing else".into()),
        }
    }
}

fn check_stages(stages: &[schema::Stage]) -> Result<(), String> {
    let twice = stages.iter().enumerate().any(|(place, stage)| stages.iter().take(place).any(|other| other == stage));
    if let Some(other) = stages.iter().find(|stage| !STAGES_FOLLOWED.contains(stage)) {
        return Err(format!("stages has {other}, which cannot be followed"));
    }
    if stages.is_empty() || twice {
        return Err("stages names each stage once, and at least one".into());
    }
    Ok(())
}
