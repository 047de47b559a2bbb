//! The head of an encrypted file: its key, wrapped for each recipient, and the code that proves the head.

use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

use super::identity::{Identity, public, shared};
use super::key::Recipient;
use super::payload::PayloadKey;
use super::{AgeError, MAGIC, TAG};

/// The kind of recipient that we write, and read.
const KIND: &str = "X25519";
/// What its wrapping key is derived for.
const WRAPPING: &[u8] = b"age-encryption.org/v1/X25519";
/// How long a file's key is, in bytes.
const KEY: usize = 16;
/// How long the number is from which the payload's key is derived, in bytes.
const NONCE: usize = 16;
/// How long a line of a body is.
const COLUMNS: usize = 64;
/// The longest head that is read, in bytes: more than 600 recipients.
const LONGEST: usize = 64 * 1024;

/// An encrypted file whose head was read.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What opens its chunks.
    pub key: PayloadKey,
    /// By whose identity it was opened.
    pub by: Recipient,
}

/// Some random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], AgeError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| AgeError::Broken)?;
    Ok(bytes)
}

/// HKDF with SHA-256 (RFC 5869).
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let extracted: hkdf::Prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let mut key = Zeroizing::new([0; 32]);
    let info = [info];
    extracted
        .expand(&info, Length)
        .and_then(|derived| derived.fill(&mut *key))
        .map_err(|_unspecified| AgeError::Broken)?;
    Ok(key)
}

fn wrapping(shared: &[u8], share: &[u8; 32], recipient: &Recipient) -> Result<LessSafeKey, AgeError> {
    let salt = [share.as_slice(), &recipient.0].concat();
    let key = derive(shared, &salt, WRAPPING)?;
    UnboundKey::new(&CHACHA20_POLY1305, &*key).map(LessSafeKey::new).map_err(|_unspecified| AgeError::Broken)
}

/// The code over a head up to its `---`.
fn mac(file_key: &[u8], head: &[u8]) -> Result<(hmac::Key, hmac::Tag), AgeError> {
    let key = derive(file_key, &[], b"header")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*key);
    let tag = hmac::sign(&key, head);
    Ok((key, tag))
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> Result<PayloadKey, AgeError> {
    PayloadKey::new(&*derive(file_key, nonce, b"payload")?)
}

/// Begins an encrypted file for these recipients: what comes before its chunks, and the key that seals them.
///
/// # Errors
/// The machine gives no random numbers, or there is no recipient.
pub fn begin(recipients: &[Recipient]) -> Result<(Vec<u8>, PayloadKey), AgeError> {
    if recipients.is_empty() {
        return Err(AgeError::Header("it has no recipient"));
    }
    let file_key = Zeroizing::new(random::<KEY>()?);
    let mut head = MAGIC.to_vec();
    for recipient in recipients {
        let mut seed = random::<32>()?;
        let ephemeral = StaticSecret::from(seed);
        seed.zeroize();
        let share = public(&ephemeral);
        let shared = Zeroizing::new(shared(&ephemeral, recipient.0).ok_or(AgeError::Header("a recipient is no key"))?);
        let key = wrapping(&*shared, &share, recipient)?;
        let mut body = file_key.to_vec();
        let sealed = key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut body);
        sealed.map_err(|_unspecified| AgeError::Broken)?;
        // 32 bytes are 43 letters: one line, and no empty one behind it.
        head.extend(format!("-> {KIND} {}\n{}\n", BASE64.encode(share), BASE64.encode(&body)).into_bytes());
    }
    head.extend(b"---");
    let (_, tag) = mac(&*file_key, &head)?;
    head.extend(format!(" {}\n", BASE64.encode(tag.as_ref())).into_bytes());
    let nonce = random::<NONCE>()?;
    head.extend(nonce);
    Ok((head, payload_key(&*file_key, &nonce)?))
}

/// A recipient's part of a head.
struct Stanza {
    args: Vec<String>,
    body: Vec<u8>,
}

/// Reads lines of a head, and keeps all of them.
struct Lines<R> {
    input: R,
    read: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// The next line, without its end.
    fn next(&mut self) -> io::Result<Result<String, AgeError>> {
        let begin = self.read.len();
        loop {
            let mut byte = [0];
            if self.input.read(&mut byte)? == 0 {
                return Ok(Err(AgeError::Header("it ends in the middle of it")));
            }
            let [byte] = byte;
            if byte == b'\n' {
                break;
            }
            self.read.push(byte);
            if self.read.len() > LONGEST {
                return Ok(Err(AgeError::Header("it is longer than any")));
            }
        }
        let line = String::from_utf8(self.read.get(begin..).unwrap_or_default().to_vec());
        self.read.push(b'\n');
        Ok(line.map_err(|_unspecified| AgeError::Header("it is no text")))
    }
}

/// Reads the head of an encrypted file, and opens it with the first of these identities that it is for. What follows in `input` is chunks.
///
/// # Errors
/// Of the reader; or why it is not opened.
pub fn open(input: &mut impl Read, identities: &[Identity]) -> io::Result<Result<Opened, AgeError>> {
    let mut lines = Lines { input, read: Vec::new() };
    let (stanzas, tag, signed) = match read(&mut lines)? {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    let signed = lines.read.get(..signed).unwrap_or_default();
    let opened = unwrap(&stanzas, identities).and_then(|(file_key, by)| {
        let (key, _) = mac(&file_key, signed)?;
        hmac::verify(&key, signed, &tag).map_err(|_unspecified| AgeError::Mac)?;
        Ok((file_key, by))
    });
    let (file_key, by) = match opened {
        Ok(opened) => opened,
        Err(why) => return Ok(Err(why)),
    };
    let mut nonce = Vec::new();
    lines.input.take(NONCE as u64).read_to_end(&mut nonce)?;
    if nonce.len() < NONCE {
        return Ok(Err(AgeError::Header("it ends in the middle of it")));
    }
    Ok(payload_key(&file_key, &nonce).map(|key| Opened { key, by }))
}

type Head = (Vec<Stanza>, Vec<u8>, usize);

/// The parts of a head, its code, and how much of it the code is over.
fn read(lines: &mut Lines<impl Read>) -> io::Result<Result<Head, AgeError>> {
    let mut stanzas = Vec::new();
    macro_rules! line {
        () => {
            match lines.next()? {
                Ok(line) => line,
                Err(why) => return Ok(Err(why)),
            }
        };
    }
    if line!().as_bytes() != MAGIC.trim_ascii_end() {
        return Ok(Err(AgeError::Header("it is of no version that is known")));
    }
    loop {
        let begin = lines.read.len();
        let line = line!();
        if let Some(tag) = line.strip_prefix("---") {
            let tag = tag.strip_prefix(' ').and_then(|tag| BASE64.decode(tag).ok()).filter(|tag| tag.len() == 32);
            let Some(tag) = tag else { return Ok(Err(AgeError::Header("its code is none"))) };
            if stanzas.is_empty() {
                return Ok(Err(AgeError::Header("it has no recipient")));
            }
            return Ok(Ok((stanzas, tag, begin + 3)));
        }
        let args = line.strip_prefix("-> ").unwrap_or_default().split(' ').map(str::to_owned).collect::<Vec<_>>();
        let is_arg = |arg: &String| !arg.is_empty() && arg.bytes().all(|byte| (33..=126).contains(&byte));
        if !args.iter().all(is_arg) {
            return Ok(Err(AgeError::Header("a line of it is none")));
        }
        let mut body = Vec::new();
        loop {
            let line = line!();
            let bytes = BASE64.decode(&line).ok().filter(|_| line.len() <= COLUMNS);
            let Some(bytes) = bytes else { return Ok(Err(AgeError::Header("a body in it is none"))) };
            body.extend(bytes);
            if line.len() < COLUMNS {
                break;
            }
        }
        stanzas.push(Stanza { args, body });
    }
}

/// The file's key, and whose identity has unwrapped it.
fn unwrap(stanzas: &[Stanza], identities: &[Identity]) -> Result<(Zeroizing<Vec<u8>>, Recipient), AgeError> {
    if stanzas.iter().any(|stanza| stanza.args.first().is_some_and(|kind| kind == "scrypt")) {
        return Err(AgeError::Header("it is for a passphrase, not for keys"));
    }
    for stanza in stanzas {
        let [kind, args @ ..] = stanza.args.as_slice() else { continue };
        if kind != KIND {
            continue;
        }
        let bad = || AgeError::Header("a recipient in it is none");
        let [share] = args else { return Err(bad()) };
        let share: [u8; 32] = BASE64.decode(share).ok().and_then(|share| share.try_into().ok()).ok_or_else(bad)?;
        if stanza.body.len() != KEY + TAG {
            return Err(bad());
        }
        for identity in identities {
            let shared = Zeroizing::new(identity.shared(share).ok_or_else(bad)?);
            let recipient = identity.recipient();
            let mut body = Zeroizing::new(stanza.body.clone());
            let key = wrapping(&*shared, &share, &recipient)?;
            let opened = key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), body.as_mut_slice());
            if let Ok(file_key) = opened {
                return Ok((Zeroizing::new(file_key.to_vec()), recipient));
            }
        }
    }
    Err(AgeError::NoMatch { recipients: stanzas.len() })
}
