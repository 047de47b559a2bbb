//! Binary logs: see `bodies/binlog.rs`.

#![no_main]

#[path = "../bodies/binlog.rs"]
mod binlog;

libfuzzer_sys::fuzz_target!(|input: &[u8]| binlog::check(input));
