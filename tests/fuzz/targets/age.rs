//! Encrypted streams and their keys: see `bodies/age.rs`.

#![no_main]

#[path = "../bodies/age.rs"]
mod age;

libfuzzer_sys::fuzz_target!(|input: &[u8]| age::check(input));
