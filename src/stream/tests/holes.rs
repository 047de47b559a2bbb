//! Tables with page compression: what is zeros in the stream is a hole in the file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{chunk, extracted, file, small, stored};
use crate::model::Compression;

const PAGE: usize = 16384;

/// So many pages of a tablespace with these flags, in each of which 3000 bytes are no zeros; one that is not used is zeros alone.
fn tablespace(flags: u32, pages: usize) -> Vec<u8> {
    let mut bytes = vec![0; PAGE * pages];
    for (number, page) in bytes.chunks_mut(PAGE).enumerate().filter(|(number, _)| number % 5 != 4) {
        page[..3000].fill(u8::try_from(number % 250 + 1).unwrap());
        page[24] = 0x80;
    }
    bytes[54..58].copy_from_slice(&flags.to_be_bytes());
    bytes
}

/// In chunks of so many bytes.
fn in_chunks(path: &str, content: &[u8], length: usize) -> Vec<Vec<u8>> {
    let parts = content.chunks(length).enumerate();
    let mut chunks: Vec<_> =
        parts.map(|(number, part)| chunk(b'P', path, Some(((number * length) as u64, part)))).collect();
    chunks.push(chunk(b'E', path, None));
    chunks
}

fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// A file system that keeps no holes would prove nothing; the suite's do.
#[test]
fn holes_of_page_compression_stay_holes() {
    let compressed = tablespace(0x35, 640);
    let plain = tablespace(0x15, 64);
    let dir = tempfile::tempdir().unwrap();
    let rest = u64::try_from(small().concat().len()).unwrap();
    for (number, length) in [1 << 20, 10 << 20, 5000, 4096 * 3 + 1].into_iter().enumerate() {
        let place = dir.path().join(number.to_string());
        fs::create_dir(&place).unwrap();
        let stream = [
            in_chunks("shop/c.ibd", &compressed, length),
            in_chunks("shop/c.new", &compressed, length),
            in_chunks("shop/p.ibd", &plain, length),
            in_chunks("shop/d.ibd.delta", &plain, length),
            file("shop/c.MYD", &compressed[..1 << 20]),
            small(),
        ];
        let stored = stored(&place, &stream.concat().concat(), Compression::Zstd, 100_000).unwrap();
        let tree = place.join("tree");
        let is = extracted(&place, &tree, Compression::Zstd, true).unwrap();
        assert_eq!(is.whole, stored.whole);
        for (name, content) in
            [("c.ibd", &compressed), ("c.new", &compressed), ("p.ibd", &plain), ("d.ibd.delta", &plain)]
        {
            assert!(fs::read(tree.join("shop").join(name)).unwrap() == *content, "{name} {length}");
        }
        // Four of five pages have one block of four.
        let (full, least) = (compressed.len() as u64, 640 / 5 * 4 * 4096);
        for name in ["c.ibd", "c.new"] {
            let taken = taken(&tree.join("shop").join(name));
            assert!(
                (least..least + full / 20).contains(&taken),
                "{name}: {taken} of {full} bytes are taken, chunks of {length}"
            );
        }
        assert!(taken(&tree.join("shop/p.ibd")) >= plain.len() as u64);
        assert!(taken(&tree.join("shop/d.ibd.delta")) < plain.len() as u64 / 2);
        // Where chunks do not end with pages, as those of the tool do, the figures are worse.
        if length % PAGE == 0 {
            let figures = is.whole.footprint;
            let known = 2 * least + plain.len() as u64 + (64 - 64 / 5) * 4096 + (1 << 20);
            assert!((known..known + rest).contains(&figures.size), "{figures} where {known} bytes are known");
            assert_eq!(figures.fills, (64 - 64 / 5) * (PAGE as u64 - 4096));
        }
    }
}
