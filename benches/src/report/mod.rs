//! One run's [`Outcome`](crate::result::Outcome) as a file for programs, a page for people and a table for the terminal.
//!
//! | module | makes |
//! | --- | --- |
//! | [`json`] | the file, and reads it back |
//! | [`html`] | one page, nothing fetched, no script; plots by [`plot`] |
//! | [`terminal`] | the table at the end of a run |
//! | [`compare`] | the ratios of two runs, or of pairs of runs |
//! | [`bounds`] | what a run has to show: the one table of bounds |
//! | [`text`] | numbers and columns |
//!
//! Two rules hold in every form. The kind of run stands in the title, since figures of different kinds are not comparable. And
//! shards that share a machine are never added up: with several of them every rate is the mean of one shard, and the text says so.

pub mod bounds;
pub mod compare;
pub mod html;
pub mod json;
pub mod plot;
#[cfg(test)]
mod sample;
mod scale;
mod summary;
pub mod terminal;
pub mod text;
