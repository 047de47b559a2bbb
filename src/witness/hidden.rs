//! Names of tables that lie beside encrypted data, where they must not be read.
//!
//! In: a name. Out: a hash of it, each with a salt of its own, by which that name alone is known again. Who guesses a name can see whether the
//! guess is right.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::manifest::hexadecimal;

/// What a hidden name begins with: before its salt, a colon and its hash. No name of a file of the server has a colon in it.
const HIDDEN: &str = "sha256:";

/// How much of a hash is kept, in bytes.
const KEPT: usize = 16;

/// A name, so that it cannot be read. It is another text each time.
pub(crate) fn hide(name: &[u8]) -> String {
    let salt = Uuid::new_v4().simple().to_string();
    let hash = hash(&salt, name);
    format!("{HIDDEN}{salt}:{hash}")
}

/// Whether what was kept, hidden or as it was, is this name.
pub(crate) fn is(kept: &[u8], name: &[u8]) -> bool {
    let hidden = str::from_utf8(kept).ok().and_then(parts);
    hidden.map_or(kept == name, |(salt, kept)| kept == hash(salt, name))
}

/// Whether what was kept can be read.
pub(crate) fn is_plain(kept: &str) -> bool {
    parts(kept).is_none()
}

/// The salt and the hash of a hidden name.
fn parts(kept: &str) -> Option<(&str, &str)> {
    kept.strip_prefix(HIDDEN)?.split_once(':')
}

fn hash(salt: &str, name: &[u8]) -> String {
    let hash = Sha256::new().chain_update(salt).chain_update(":").chain_update(name).finalize();
    hexadecimal(hash.get(..KEPT).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{hide, is, is_plain};

    #[test]
    fn a_hidden_name_is_known_again_and_is_another_text_each_time() {
        let hidden = hide(b"shop/orders");
        assert!(is(hidden.as_bytes(), b"shop/orders") && !is(hidden.as_bytes(), b"shop/order"));
        assert!(!hidden.contains("orders") && hide(b"shop/orders") != hidden);
        assert!(!is(hidden.as_bytes(), hidden.as_bytes()), "it is no name of its own");
        assert!(!is_plain(&hidden));
    }

    #[test]
    fn what_was_kept_as_it_was_is_compared_as_it_is() {
        assert!(is(b"shop/\xfft", b"shop/\xfft") && !is(b"shop/t", b"shop/u"));
        assert!(is_plain("shop/t") && is_plain("sha256/t"));
    }

    /// A backup that was taken is read by every program after it.
    #[test]
    fn a_hidden_name_of_today_is_known_for_ever() {
        let kept = b"sha256:00112233445566778899aabbccddeeff:a0a3b1730a0bb7cd3f4cffd0c731ad65";
        assert!(is(kept, b"shop/t"));
    }
}
