//! Encrypted streams: the format as others write and read it, what is damaged in it, and what a daemon with `encrypt_to` does.

mod chains;
mod daemon;
mod pages;
mod vectors;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dbcalm_db_cmd::age::{CHUNK, Identity, SEALED, identities};
use dbcalm_db_cmd::model::{Compression, Packed};
use dbcalm_db_cmd::stream::{Busy, Codec, Packing, Unpacking, pack, unpack};

use crate::harness::program;

/// A key of Debian's `age-keygen`: its file, what it says, and its public half.
struct Key {
    file: PathBuf,
    identities: Vec<Identity>,
    public: String,
}

fn key(dir: &Path, name: &str) -> Key {
    let file = dir.join(name);
    let made = program("age-keygen").arg("-o").arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let identities = identities(&fs::read(&file).unwrap()).unwrap();
    let public = identities[0].recipient().to_string();
    let told = program("age-keygen").arg("-y").arg(&file).output().unwrap().stdout;
    assert_eq!(String::from_utf8(told).unwrap().trim(), public);
    Key { file, identities, public }
}

fn content(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(11);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Encrypts by the parts of which the steps are made.
fn encrypted(bytes: &[u8], to: &[&Key]) -> Vec<u8> {
    let recipients = to.iter().map(|key| key.identities[0].recipient()).collect();
    let how = Packing { codec: Codec::new(Compression::None, None), recipients, threads: 3 };
    let mut stored = Vec::new();
    pack(&mut &*bytes, &mut stored, &how, &Busy::default()).unwrap();
    stored
}

fn decrypted(stored: &[u8], by: &[Identity]) -> Result<Vec<u8>, String> {
    let packed = Packed { compression: Compression::None, is_encrypted: true };
    let mut bytes = Vec::new();
    let done = unpack(stored, &mut bytes, Unpacking { packed, identities: by, threads: 3 }, &Busy::default());
    done.map(|_| bytes).map_err(|why| dbcalm_db_cmd::model::causes(&why))
}

/// What Debian's `age` makes of these bytes.
fn age(args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child =
        program("age").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let said = child.wait_with_output().unwrap();
    writing.join().unwrap();
    if said.status.success() { Ok(said.stdout) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
}

#[test]
fn what_we_encrypt_age_decrypts_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, three) = (key(dir.path(), "one"), key(dir.path(), "two"), key(dir.path(), "three"));
    let unit = 16 * CHUNK;
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, unit - 1, unit, unit + 1, 2 * unit, 5 * unit + 7] {
        let bytes = content(length);
        let ours = encrypted(&bytes, &[&one, &two]);
        let theirs = age(&["-r", &one.public, "-r", &two.public], &bytes).unwrap();
        for key in [&one, &two] {
            assert!(age(&["-d", "-i", key.file.to_str().unwrap()], &ours).unwrap() == bytes, "{length}");
            assert!(decrypted(&ours, &key.identities).unwrap() == bytes, "{length}");
            assert!(decrypted(&theirs, &key.identities).unwrap() == bytes, "{length}");
        }
        for stored in [&ours, &theirs] {
            assert!(decrypted(stored, &three.identities).unwrap_err().contains("none of whom the identity is of"));
            let both = [three.identities.clone(), two.identities.clone()].concat();
            assert!(decrypted(stored, &both).unwrap() == bytes, "{length}");
        }
    }
}

/// A head of one recipient ends behind its number of 16 bytes.
fn head(stored: &[u8]) -> usize {
    let code = stored.windows(5).position(|five| five == b"\n--- ").unwrap();
    code + 5 + 43 + 1 + 16
}

#[test]
fn whatever_is_cut_flipped_swapped_doubled_or_dropped_is_refused_as_age_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let one = key(dir.path(), "one");
    let file = one.file.to_str().unwrap();
    let bytes = content(18 * CHUNK + 100);
    let whole = encrypted(&bytes, &[&one]);
    let head = head(&whole);
    let chunk = |number: usize| &whole[head + number * SEALED..(head + (number + 1) * SEALED).min(whole.len())];
    let chunks = |numbers: &[usize]| {
        let parts = numbers.iter().map(|number| chunk(*number)).collect::<Vec<_>>().concat();
        [&whole[..head], &parts].concat()
    };
    let all = (0..19).collect::<Vec<_>>();
    assert!(chunks(&all) == whole);
    let mut bad = Vec::new();
    let ends = (0..=19).map(|number| (head + number * SEALED).min(whole.len()));
    let around = ends.flat_map(|end| [end.saturating_sub(17), end - 16, end - 1, end, end + 1, end + 15, end + 16]);
    let cuts = (0..head).chain(around.filter(|end| *end < whole.len()));
    bad.extend(cuts.map(|end| (format!("cut at byte {end}"), whole[..end].to_vec())));
    for at in (0..head).chain([head, head + SEALED - 1, head + SEALED, head + 17 * SEALED, whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        bad.push((format!("flipped at byte {at}"), flipped));
    }
    let without = |number: usize| all.iter().copied().filter(|other| *other != number).collect::<Vec<_>>();
    for number in [0, 1, 15, 16, 17, 18] {
        bad.push((format!("without chunk {number}"), chunks(&without(number))));
    }
    for (what, numbers) in [
        ("two swapped", [vec![1, 0], (2..19).collect()].concat()),
        ("two of other units swapped", [(0..15).collect(), vec![16, 15, 17, 18]].concat()),
        ("one doubled", [vec![0, 0], (1..19).collect()].concat()),
        ("the last doubled", [all.clone(), vec![18]].concat()),
        ("the last first", [vec![18], (0..18).collect()].concat()),
    ] {
        bad.push((what.to_owned(), chunks(&numbers)));
    }
    let other = encrypted(&bytes, &[&one]);
    bad.push(("another's payload".to_owned(), [&whole[..head], &other[self::head(&other)..]].concat()));
    bad.push(("more behind it".to_owned(), [whole.as_slice(), b"x"].concat()));
    for (what, stored) in &bad {
        assert!(decrypted(stored, &one.identities).is_err(), "{what}");
    }
    // As many as it takes to see that they are not refused for another reason.
    for (what, stored) in bad.iter().rev().take(24).chain(bad.iter().step_by(40)) {
        assert!(age(&["-d", "-i", file], stored).is_err(), "{what}");
    }
    let said = |numbers: &[usize]| decrypted(&chunks(numbers), &one.identities).unwrap_err();
    assert_eq!(said(&without(18)), "the stream cannot be decrypted: it ends before its last chunk");
    assert_eq!(said(&without(3)), "the stream cannot be decrypted: chunk 3 is not what was written there");
    let even = encrypted(&content(2 * CHUNK), &[&one]);
    let more = [even.as_slice(), &even[even.len() - SEALED..]].concat();
    let why = decrypted(&more, &one.identities).unwrap_err();
    assert_eq!(why, "the stream cannot be decrypted: something comes behind its last chunk");
}

#[test]
fn a_file_that_is_no_file_of_identities_is_refused_by_its_line_and_without_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let one = key(dir.path(), "one");
    let text = fs::read_to_string(&one.file).unwrap();
    let secret = text.lines().find(|line| line.starts_with("AGE-")).unwrap();
    let other = if &secret[30..31] == "Q" { "P" } else { "Q" };
    let typo = [&secret[..30], other, &secret[31..]].concat();
    let said = |text: &str| match identities(text.as_bytes()) {
        Ok(found) => format!("{} identities", found.len()),
        Err(why) => why.to_string(),
    };
    let told = [
        text.as_str(),
        &format!("{secret}\r\n\r\n# another\r\n{secret}\r\n"),
        "",
        "# nothing\n",
        &format!("# key\n{typo}\n"),
        &secret.to_lowercase(),
        &one.public,
        "AGE-PLUGIN-YUBIKEY-1QQQ\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "age-encryption.org/v1\n-> scrypt x 18\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n",
    ]
    .map(said);
    assert!(told.iter().all(|said| !said.contains(&secret[20..40])));
    insta::assert_snapshot!(told.join("\n"), @r"
    1 identities
    2 identities
    it holds no secret key: a line that begins with AGE-SECRET-KEY-1
    it holds no secret key: a line that begins with AGE-SECRET-KEY-1
    line 2 of it has a typo in it: its checksum is wrong
    line 1 of it is no secret key of age
    line 1 of it is a public key: the secret one is needed here
    line 1 of it is a plugin's identity, which is not taken
    line 1 of it begins a key of SSH or another kind, which is not taken
    it is protected by a passphrase, which nobody is there to type: write it decrypted, readable by the daemon's user alone (age -d FILE)
    it is protected by a passphrase, which nobody is there to type: write it decrypted, readable by the daemon's user alone (age -d FILE)
    ");
}
