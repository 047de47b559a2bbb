//! The published test vectors of the format (C2SP's CCTV), as the crate `age` ships them beside its source.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use dbcalm_db_cmd::age::identities;
use sha2::{Digest, Sha256};

use super::decrypted;
use crate::harness::{not_here, program_by_itself};

/// Fewer are not all.
const LEAST: usize = 60;

/// Where cargo has the source of the crate. It is fetched by `ci/setup`, and never built: it has many dependencies, and its tests alone are used.
fn vectors() -> Option<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/Cargo.toml");
    let args = ["metadata", "--format-version=1", "--locked", "--offline", "--manifest-path", manifest];
    let said = program_by_itself(env!("CARGO")).args(args).output().unwrap();
    if !said.status.success() {
        not_here("the published test vectors of age: ci/setup fetches them");
        return None;
    }
    let all: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let crate_ = all["packages"].as_array().unwrap().iter().find(|package| package["name"] == "age").unwrap();
    Some(PathBuf::from(crate_["manifest_path"].as_str().unwrap()).with_file_name("tests").join("testdata/testkit"))
}

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: String,
    is_ours: bool,
    file: Vec<u8>,
}

fn parse(text: &[u8]) -> Vector {
    let mut vector =
        Vector { expect: String::new(), payload: None, identities: String::new(), is_ours: true, file: Vec::new() };
    let (mut rest, mut is_compressed) = (text, false);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let Some((key, value)) = line.split_once(": ") else { break };
        match key {
            "expect" => value.clone_into(&mut vector.expect),
            "payload" => vector.payload = Some(value.to_owned()),
            "identity" => vector.identities.extend([value, "\n"]),
            // Neither is what this daemon reads.
            "passphrase" | "armored" => vector.is_ours = false,
            "compressed" => is_compressed = true,
            _ => {}
        }
    }
    if is_compressed {
        flate2::read::ZlibDecoder::new(rest).read_to_end(&mut vector.file).unwrap();
    } else {
        vector.file = rest.to_vec();
    }
    vector
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn the_published_vectors_are_read_or_refused_as_they_should_be() {
    let (mut ours, mut others) = (0, 0);
    let Some(vectors) = vectors() else { return };
    for entry in fs::read_dir(vectors).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let vector = parse(&fs::read(&path).unwrap());
        let by = identities(vector.identities.as_bytes()).unwrap_or_default();
        let said = decrypted(&vector.file, &by);
        if !vector.is_ours {
            assert!(said.is_err(), "{name}");
            others += 1;
            continue;
        }
        ours += 1;
        let why = match said {
            Ok(bytes) => {
                assert_eq!(vector.expect, "success", "{name}");
                assert_eq!(Some(base16(&Sha256::digest(&bytes))), vector.payload, "{name}");
                continue;
            }
            Err(why) => why,
        };
        let wanted: &[&str] = match vector.expect.as_str() {
            "header failure" => &["its head is damaged", "none of whom the identity is of"],
            "HMAC failure" => &["its head has been changed"],
            "no match" => &["none of whom the identity is of"],
            "payload failure" => &["it ends before", "is not what was written there", "something comes behind"],
            other => panic!("{name}: {why}, where it says {other}"),
        };
        assert!(wanted.iter().any(|text| why.contains(text)), "{name}: {why}, where it says {}", vector.expect);
    }
    assert!(ours >= LEAST && others > 20, "{ours} and {others}");
}
