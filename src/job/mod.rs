//! A plan carried out: its steps in order, its end recorded, its failure cleaned up.
//!
//! In: an admitted command's [`Plan`](crate::plan::Plan), an executor and the records. Out: rows. A job never sees a socket, and ends only with
//! its records written: a step's row is there before its program is, and what it came to is written before it is forgotten.

mod applied;
mod begin;
mod describe;
mod early;
mod error;
mod fill;
mod finish;
mod follow;
pub(crate) mod progress;
#[cfg(test)]
mod properties;
mod publish;
pub mod recover;
mod run;
pub(crate) mod scrub;
mod scrub_values;
#[cfg(test)]
mod tests;

pub(crate) use follow::measured_whole as measured;
pub use run::Job;
pub(crate) use run::blocking;
