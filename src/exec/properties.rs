//! What holds of every output that is kept: random ones.

use proptest::prelude::*;

use super::{Capture, Watch};

/// How much is kept of the beginning and of the end, as operators are told.
const HEAD: usize = 65_536;
const TAIL: usize = 196_608;
/// The longest line that is taken as one, and the most lines that are watched for.
const LINE: usize = 16 * 1024;
const WATCHED: usize = 16;

/// Lines: of what, how many times over, whether it is one that is watched for, and whether a line ends there.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        4 => "[a-z ]{0,60}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(b"End of log at LSN=42".to_vec()),
    ];
    let times = prop_oneof![6 => 1..4_usize, 1 => 100..1200_usize];
    let line = (bytes, times, prop::bool::weighted(0.9)).prop_map(|(bytes, times, ends)| {
        let mut line = bytes.repeat(times);
        if ends {
            line.push(b'\n');
        }
        line
    });
    (prop::collection::vec(line, 0..30), prop_oneof![3 => 1..3_usize, 1 => 20..200_usize])
        .prop_map(|(lines, times)| lines.concat().repeat(times))
}

/// The same with lines of its own alone, each numbered, so that each stands in it once.
fn numbered() -> impl Strategy<Value = String> {
    (0..12_000_usize, prop::collection::vec(0..80_usize, 1..8)).prop_map(|(count, widths)| {
        let line = |number: usize| format!("{number:08}{}\n", "·".repeat(widths[number % widths.len()]));
        (0..count).map(line).collect::<Vec<_>>().concat()
    })
}

fn captured(bytes: &[u8], size: usize) -> super::Captured {
    let mut capture = Capture::watching(Some(Watch::Text("LSN=")));
    bytes.chunks(size).for_each(|piece| capture.push(piece));
    capture.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn pieces_make_no_difference(bytes in output(), size in prop_oneof![1..100_usize, 1000..20_000_usize]) {
        prop_assert_eq!(captured(&bytes, size), captured(&bytes, usize::MAX));
    }

    #[test]
    fn what_is_kept_is_text_and_bounded(bytes in output()) {
        let kept = captured(&bytes, 8192);
        if bytes.len() <= HEAD {
            prop_assert_eq!(&kept.text, &String::from_utf8_lossy(&bytes));
        }
        // A byte that is not UTF-8 becomes three.
        prop_assert!(kept.text.len() <= 3 * (HEAD + TAIL) + 64, "{} bytes", kept.text.len());
        let odd = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        prop_assert!(kept.text.len() <= HEAD + TAIL + 64 + 3 * odd, "{} bytes", kept.text.len());
    }

    #[test]
    fn what_is_watched_for_is_kept_wherever_it_stands(bytes in output()) {
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').flat_map(|line| line.chunks(LINE));
        let watched = lines.filter(|line| line.windows(4).any(|window| window == b"LSN="));
        let watched: Vec<_> =
            watched.map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).take(WATCHED).collect();
        prop_assert_eq!(captured(&bytes, 5000).watched, watched);
    }

    #[test]
    fn the_beginning_and_the_end_are_kept_by_whole_lines_and_the_gap_is_counted(text in numbered()) {
        let kept = captured(text.as_bytes(), 4096).text;
        let Some((head, rest)) = kept.split_once("[… ") else {
            prop_assert!(text.len() <= HEAD + TAIL);
            prop_assert_eq!(kept, text);
            return Ok(());
        };
        let (left_out, tail) = rest.split_once(" bytes left out …]\n").unwrap();
        prop_assert!(text.starts_with(head) && head.ends_with('\n'));
        prop_assert!(text.ends_with(tail) && text[..text.len() - tail.len()].ends_with('\n'));
        prop_assert_eq!(left_out.parse(), Ok(text.len() - head.len() - tail.len()));
        let longest = text.lines().map(str::len).max().unwrap_or_default() + 1;
        prop_assert!((HEAD - longest..=HEAD).contains(&head.len()), "{} bytes of the beginning", head.len());
        prop_assert!((TAIL - longest..=TAIL).contains(&tail.len()), "{} bytes of the end", tail.len());
    }
}
