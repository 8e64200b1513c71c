//! The terminal while a run goes on: a line that is rewritten where somebody watches, plain lines where it goes to a file.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::result::Second;

/// Without a terminal every so many seconds get a line.
const EVERY: i64 = 5;

/// What the user sees of a run.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    step: String,
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Progress {
    /// To standard error.
    pub fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Progress { bar, step: String::new() }
    }

    /// Something that stays on the screen.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// What is done now, shown with every second.
    pub fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        match &self.bar {
            Some(bar) => bar.set_message(self.step.clone()),
            None => eprintln!("{step}"),
        }
    }

    /// A second of load is over.
    pub fn second(&self, second: &Second) {
        let p99 = second.certified_p99_ms.map_or(String::new(), |ms| format!(", p99 {ms:.0} ms"));
        let refused = if second.refused > 0 { format!(", refused {}", second.refused) } else { String::new() };
        let line = format!(
            "{} s: offered {}/s, certified {}/s{p99}, in flight {}{refused}",
            second.at_s, second.offered, second.certified, second.in_flight
        );
        match &self.bar {
            Some(bar) => bar.set_message(format!("{} · {line}", self.step)),
            None if second.at_s.checked_rem(EVERY) == Some(0) => eprintln!("  {line}"),
            None => {}
        }
    }

    /// Nothing more to show.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
