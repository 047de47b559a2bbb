//! What the tools leave and say: see `bodies/metadata.rs`.

#![no_main]

#[path = "../bodies/metadata.rs"]
mod metadata;

libfuzzer_sys::fuzz_target!(|input: &[u8]| metadata::check(input));
