//! Encrypted streams, as they are read when they are extracted, and the texts of keys.
//!
//! In: if the first byte is even, the rest is a head, a file of identities and a public key. If it is odd, the rest says what is done to a
//! whole encrypted file, three bytes each: what, and where. Holds that a head which nobody made opens nothing; that a public key which is taken is
//! written again as it was; and that of a file which is not what it was nothing comes out but an error.

use std::sync::OnceLock;

use dbcalm_db_cmd::age::{self, CHUNK, Identity, Recipient, SEALED};

/// A key of this target's own, which opens nothing else.
const KEY: &[u8] = b"AGE-SECRET-KEY-1LE2FALM5EQA9HTDP3TYGH6XF5WW2GVJDVPUKSPUEVMGTW6CWJ94QMYD0G9\n";

/// How long the file is: two chunks and the beginning of a third.
const LENGTH: usize = 2 * CHUNK + 100;

struct Made {
    identities: Vec<Identity>,
    plain: Vec<u8>,
    file: Vec<u8>,
    /// Where its chunks begin.
    head: usize,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let identities = age::identities(KEY).unwrap();
        let plain: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (mut file, key) = age::begin(&[identities[0].recipient()]).unwrap();
        let head = file.len();
        file.extend(key.seal(0, &plain, true).unwrap());
        Made { identities, plain, file, head }
    })
}

fn open(mut file: &[u8], identities: &[Identity]) -> Option<Vec<u8>> {
    let opened = age::open(&mut file, identities).unwrap().ok()?;
    opened.key.open(0, file, true).ok()
}

pub(crate) fn check(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let made = made();
    if !first.is_multiple_of(2) {
        let edited = edited(made, rest);
        match open(&edited, &made.identities) {
            Some(plain) => assert!(edited == made.file && plain == made.plain),
            None => assert!(edited != made.file),
        }
        return;
    }
    for head in [rest.to_vec(), [age::MAGIC, rest].concat()] {
        // Nobody but who has the key makes one that it opens.
        assert_eq!(open(&head, &made.identities), None);
    }
    let text = String::from_utf8_lossy(rest);
    if let Ok(recipient) = text.parse::<Recipient>() {
        assert_eq!(recipient.to_string(), text);
    }
    if let Ok(found) = age::identities(rest) {
        assert!(!found.is_empty());
    }
}

/// The file with what is done to it.
fn edited(made: &Made, edits: &[u8]) -> Vec<u8> {
    let mut file = made.file.clone();
    for edit in edits.as_chunks::<3>().0 {
        let [what, high, low] = *edit;
        // Anywhere, but in the head most often.
        let place = usize::from(u16::from_be_bytes([high, low]));
        let at = if high < 128 { place % (made.head + 40) } else { place * 2 };
        let chunk = |number: usize| made.head + number * SEALED..made.head + (number + 1) * SEALED;
        match what % 6 {
            0 => file.truncate(at),
            1 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (low % 8)),
            2 => file.insert(at.min(file.len()), low),
            3 if at < file.len() => drop(file.remove(at)),
            4 if file.len() == made.file.len() => {
                let (one, other) = file.split_at_mut(made.head + SEALED);
                one[chunk(0)].swap_with_slice(&mut other[..SEALED]);
            }
            5 if file.len() >= made.head + 2 * SEALED => {
                let doubled = file[chunk(usize::from(low % 2))].to_vec();
                file.extend(doubled);
            }
            _ => {}
        }
    }
    file
}
