//! What is cut into frames and decompressed side by side, and what is not: ours, predecessors', and what nobody writes.

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;

use super::super::codec::{Codec, Tools};
use super::super::frames::{Frames, MOST, Next};
use super::super::{Busy, Packing, Unpacking, pack, unpack};
use crate::model::Compression;

/// Bytes of which about half can be compressed away.
fn content(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..length).map(|at| if at % 2 == 0 { random.u8(..) } else { 9 }).collect()
}

fn plain(compression: Compression) -> Unpacking<'static> {
    Unpacking { packed: compression.into(), identities: &[], threads: 2 }
}

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut stored = Vec::new();
    let how = Packing { codec: Codec::new(compression, None), recipients: Vec::new(), threads: 2 };
    let (lengths, _) = pack(&mut &*bytes, &mut stored, &how, &Busy::default()).unwrap();
    assert_eq!((lengths.data, lengths.stored), (bytes.len() as u64, stored.len() as u64));
    stored
}

fn unpacked(stored: &[u8], compression: Compression) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let done = unpack(stored, &mut bytes, plain(compression), &Busy::default());
    done.map(|_| bytes).map_err(|why| crate::model::causes(&why))
}

/// How long each frame is; then `..` for what is no frame.
fn cut(stored: &[u8], compression: Compression) -> String {
    let mut frames = Frames::new(stored, compression);
    let mut said = Vec::new();
    loop {
        match frames.next().unwrap() {
            Next::Frame(frame) => said.push(frame.len().to_string()),
            Next::Rest => return [said, vec!["..".to_owned()]].concat().join(" "),
            Next::End => return said.join(" "),
        }
    }
}

/// One frame, as the command line's: it does not say what it becomes where that is not known.
fn one_frame(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn one_member(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_packed_is_cut_every_2_mib_and_comes_back() {
    for compression in Compression::ALL {
        for length in [0, 1, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (9 << 20) + 77] {
            let bytes = content(length);
            let stored = packed(&bytes, compression);
            assert!(unpacked(&stored, compression).unwrap() == bytes, "{compression:?} {length}");
            if compression != Compression::None {
                assert_eq!(cut(&stored, compression).split_whitespace().count(), length.div_ceil(2 << 20));
            }
        }
    }
}

#[test]
fn a_member_of_ours_is_one_of_gzip() {
    let bytes = content(5 << 20);
    let mut read = Vec::new();
    MultiGzDecoder::new(packed(&bytes, Compression::Gzip).as_slice()).read_to_end(&mut read).unwrap();
    assert!(read == bytes);
}

#[test]
fn what_others_have_compressed_is_read_as_it_comes() {
    let (long, short) = (content(MOST + 1), content(1000));
    let ours = packed(&short, Compression::Zstd);
    let one = ours.len();
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let big = zstd::bulk::compress(&long, 1).unwrap();
    for (stored, frames, wanted) in [
        (one_frame(&long), "..".to_owned(), long.clone()),
        (big.clone(), "..".to_owned(), long.clone()),
        (
            [ours.clone(), big, ours.clone()].concat(),
            format!("{one} .."),
            [short.clone(), long.clone(), short.clone()].concat(),
        ),
        (
            [ours.as_slice(), &skipped, &ours].concat(),
            format!("{one} 11 {one}"),
            [short.clone(), short.clone()].concat(),
        ),
    ] {
        assert_eq!(cut(&stored, Compression::Zstd), frames);
        assert!(unpacked(&stored, Compression::Zstd).unwrap() == wanted, "{frames}");
    }
    let ours = packed(&short, Compression::Gzip);
    for (stored, frames, wanted) in [
        (one_member(&long), "..".to_owned(), long.clone()),
        (
            [ours.clone(), one_member(&long), ours.clone()].concat(),
            format!("{} ..", ours.len()),
            [short.clone(), long, short].concat(),
        ),
    ] {
        assert_eq!(cut(&stored, Compression::Gzip), frames);
        assert!(unpacked(&stored, Compression::Gzip).unwrap() == wanted, "{frames}");
    }
}

#[test]
fn what_is_cut_swapped_or_lies_about_its_length_is_refused() {
    let bytes = content(3 << 20);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let stored = packed(&bytes, compression);
        let first: usize = cut(&stored, compression).split(' ').next().unwrap().parse().unwrap();
        for end in [1, 2, 11, 12, 19, 20, 21, first - 1, first + 1, first + 19, stored.len() - 1] {
            assert!(unpacked(&stored[..end], compression).is_err(), "{compression:?} cut at byte {end}");
        }
        for more in [b"x".as_slice(), &[0; 9], &[0x1f], &[0x28, 0xb5]] {
            assert!(unpacked(&[&stored, more].concat(), compression).is_err(), "{compression:?} {more:?}");
        }
        let mut flipped = stored.clone();
        flipped[first / 2] ^= 1;
        assert!(unpacked(&flipped, compression).is_err());
    }
    let stored = packed(&bytes, Compression::Gzip);
    let told = u32::from_le_bytes(stored[16..20].try_into().unwrap());
    for lie in [0, 1, 19, 20, 27, 28, told - 1, told + 1, u32::try_from(stored.len()).unwrap(), u32::MAX] {
        let mut lies = stored.clone();
        lies[16..20].copy_from_slice(&lie.to_le_bytes());
        // What cannot be its length is passed over, as gzip passes over all of it.
        let is_none = lie < 28 || lie == u32::MAX;
        assert_eq!(unpacked(&lies, Compression::Gzip).is_ok(), is_none, "{lie}");
    }
}

/// Little that would become much is given no more memory than a frame may have.
#[test]
fn what_would_become_too_much_is_refused_or_read_as_it_comes() {
    let zeros = vec![0; 40 << 20];
    assert!(unpacked(&one_frame(&zeros), Compression::Zstd).unwrap() == zeros);
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(&zeros).unwrap();
    let member = super::super::frames::member(&deflated.finish().unwrap(), crc32fast::hash(&zeros), zeros.len());
    let why = unpacked(&member, Compression::Gzip).unwrap_err();
    assert!(why.contains("becomes more than it may"), "{why}");
}

#[test]
fn an_error_of_the_disk_is_no_damage() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the store is away"));
            }
            let count = self.0.min(bytes.len());
            bytes[..count].fill(7);
            self.0 -= count;
            Ok(count)
        }
    }
    let mut tools = Tools::default();
    let frame = Codec::new(Compression::Zstd, None).compress(content(3000), &mut tools).unwrap();
    for (begin, compression) in [(frame.as_slice(), Compression::Zstd), (&[0x1f, 0x8b, 8], Compression::Gzip)] {
        let said = unpack(begin.chain(Breaks(0)), &mut io::sink(), plain(compression), &Busy::default());
        assert_eq!(crate::model::causes(&said.unwrap_err()), "the stream cannot be read: the store is away");
    }
}
