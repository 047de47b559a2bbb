//! The socket and what goes over it: one JSON object in, one JSON object out, then the end.
//!
//! In: bytes. Out: a [`Request`], and a [`Response`] as bytes. Only this module knows the JSON of requests and replies; it
//! knows no command.

mod budget;
mod frame;
mod peer;
#[cfg(test)]
mod properties;
mod request;
mod response;
pub mod socket;

pub use budget::Budget;
pub use frame::{Framed, MAX_REQUEST, REST_WITHIN, drain, read, turn_away};
pub use peer::Peer;
pub use request::Request;
pub use response::{MAX_REPLY, Response};
