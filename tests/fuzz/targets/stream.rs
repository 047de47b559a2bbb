//! Streams of a backup: see `bodies/stream.rs`.

#![no_main]

#[path = "../bodies/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stream::check(input));
