//! The ground floor: plain values, which everything may use and which use nothing of ours.
//!
//! Ids, moments, sizes, the tools and what differs between them, where a backup is stored, and why a request is refused. No I/O.

mod api;
mod at;
mod causes;
mod compression;
mod flavour;
mod footprint;
mod gtid;
pub mod id;
mod job_kind;
mod lengths;
mod moment;
mod packed;
#[cfg(test)]
mod properties;
mod quoted;
mod rejection;
pub mod remote;
mod size;
mod stored;
mod target;
mod until;
mod version;

pub use api::Api;
pub use at::at;
pub use causes::causes;
pub use compression::Compression;
pub use flavour::{Flavour, OptionNames, Tool};
pub use footprint::Footprint;
pub(crate) use gtid::digits;
pub use gtid::{Gtid, NoGtid};
pub use id::{BackupId, CommandId};
pub use job_kind::JobKind;
pub use lengths::Lengths;
pub use moment::Moment;
pub use packed::Packed;
pub use quoted::{quoted, word};
pub use rejection::Rejection;
pub use remote::Remote;
pub use size::{Amount, Shortage};
pub use stored::{RemoteStream, Stored, Stream, stream_name};
pub use target::Target;
pub use until::Until;
pub use version::Version;

/// A log sequence number of InnoDB: a byte's place in all redo log ever written.
pub type Lsn = u64;
