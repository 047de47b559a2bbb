//! Settings files: see `bodies/settings.rs`.

#![no_main]

#[path = "../bodies/settings.rs"]
mod settings;

libfuzzer_sys::fuzz_target!(|input: &[u8]| settings::check(input));
