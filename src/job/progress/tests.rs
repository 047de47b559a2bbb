//! The line that says how far a job is.

use std::time::Duration;

use proptest::prelude::*;

use super::{Figures, Meter, Part, Phase, telling};

fn figures(written: u64, expected: Option<u64>, rate: Option<u64>) -> String {
    Figures { written, expected, rate }.to_string()
}

const GIB: u64 = 1 << 30;

#[test]
fn the_figures_read_as_a_person_says_them() {
    let cases = [
        (figures(0, None, None), "0 B"),
        (figures(0, Some(0), None), "0 B"),
        (figures(GIB * 6 / 5, Some(4 * GIB), None), "1.1 GiB of 4.0 GiB (29 %)"),
        (
            figures(GIB * 13 / 10, Some(4 * GIB), Some(210_000_000)),
            "1.2 GiB of 4.0 GiB (32 %), 210 MB/s, about 13 s left",
        ),
        (figures(5 * GIB, Some(4 * GIB), Some(2_190_000)), "5.0 GiB, 2.1 MB/s"),
        (figures(1, Some(4 * GIB), Some(0)), "1 B of 4.0 GiB (0 %), 0 kB/s"),
        (figures(0, Some(1_000_000), Some(999_999)), "0 B of 976.5 KiB (0 %), 999 kB/s, about 1 s left"),
        (figures(0, Some(90_000_000), Some(1_000_000)), "0 B of 85.8 MiB (0 %), 1.0 MB/s, about 2 min left"),
        (figures(0, Some(36 * GIB), Some(GIB / 200)), "0 B of 36.0 GiB (0 %), 5.3 MB/s, about 2 h 0 min left"),
        (figures(0, Some(900 * GIB), Some(GIB / 200)), "0 B of 900 GiB (0 %), 5.3 MB/s, about 3 days left"),
        (figures(0, Some(900 * GIB), Some(1)), "0 B of 900 GiB (0 %), 0 kB/s"),
    ];
    for (said, wanted) in cases {
        assert_eq!(said, wanted);
    }
}

#[test]
fn a_request_of_one_step_has_no_number() {
    let part = |number, of, phase| Part { number, of, phase }.to_string();
    assert_eq!(part(1, 1, Phase::Backup), "copying");
    assert_eq!(part(2, 5, Phase::Prepare), "step 2 of 5, preparing");
    assert_eq!(part(5, 5, Phase::MoveBack), "step 5 of 5, moving back");
}

#[test]
fn the_rate_is_that_of_the_last_ten_seconds() {
    let mut meter = Meter::default();
    assert_eq!(meter.rate(), None);
    meter.see(Duration::from_secs(1), 500);
    assert_eq!(meter.rate(), None, "one look tells nothing");
    for second in 2..=100 {
        // A thousand a second for half of the time, then two thousand.
        meter.see(Duration::from_secs(second), 500 + if second <= 50 { second * 1000 } else { second * 2000 - 50_000 });
    }
    assert_eq!(meter.rate(), Some(2000));
    meter.see(Duration::from_secs(101), 0);
    assert_eq!(meter.rate(), Some(0), "what has shrunk is no rate");
}

#[test]
fn of_a_tools_words_only_a_share_and_a_files_name_are_told() {
    let cases = [
        ("Applying ./shop/orders.ibd.delta to ./shop/orders.ibd...", Some("shop/orders.ibd.delta")),
        (
            "[00] 2026-11-22 09:03:37 Copying /b/tmp/x/full-1/shop/orders.MYD to ./shop/orders.MYD",
            Some("shop/orders.MYD"),
        ),
        ("page size for 'shop/orders@0024.ibd' is 16384", Some("shop/orders@0024.ibd")),
        ("InnoDB: Rolled back 34 % of the transactions", Some("34 %")),
        ("progress: 12.7%, 3.5%", Some("3 %")),
        ("101%", None),
        ("% of nothing", None),
        ("GRANT ALL ON *.* TO 'root' IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'", None),
        ("completed OK!", None),
        ("a.ibd", Some("a.ibd")),
        ("\u{1b}[31m/x/\u{1b}.ibd", None),
    ];
    for (line, wanted) in cases {
        assert_eq!(telling(line).as_deref(), wanted, "{line}");
    }
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), (0..64_u32).prop_map(|bits| 1 << bits), 0..2000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn the_line_is_short_and_its_share_is_below_a_hundred(
        written in bytes(), expected in proptest::option::of(bytes()), rate in proptest::option::of(bytes()), of in 1..1000_usize,
    ) {
        let line = format!("{} {}", Part { number: of, of, phase: Phase::Seal }, figures(written, expected, rate));
        prop_assert!(line.len() < 200 && line.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{line}");
        if let Some((before, _)) = line.split_once(" %)") {
            let share: u64 = before.rsplit_once('(').unwrap().1.parse().unwrap();
            let expected = expected.unwrap();
            prop_assert!(share < 100 && written < expected, "{line}");
            prop_assert_eq!(u128::from(share), u128::from(written) * 100 / u128::from(expected));
        } else {
            prop_assert!(expected.is_none_or(|expected| expected <= written), "{line}");
        }
    }

    #[test]
    fn a_rate_is_within_what_was_seen(steps in proptest::collection::vec((1..5000_u64, 0..1_000_000_000_u64), 1..50)) {
        let (mut meter, mut at, mut written) = (Meter::default(), 0, 0);
        let mut rates = Vec::new();
        for (index, (millis, grown)) in steps.iter().enumerate() {
            (at, written) = (at + millis, written + grown);
            meter.see(Duration::from_millis(at), written);
            if index > 0 {
                rates.push(grown * 1000 / millis);
                let rate = meter.rate().unwrap();
                prop_assert!(rates.iter().min().unwrap() <= &(rate + 1) && rate <= *rates.iter().max().unwrap() + 1);
            }
        }
    }

    #[test]
    fn no_words_of_a_tool_make_more_than_a_short_word(line in ".{0,300}", share in any::<u16>(), name in "[ -~]{0,90}") {
        for line in [line.clone(), format!("{line} {share}%"), format!("{line} ./shop/{name}.ibd")] {
            if let Some(told) = telling(&line) {
                prop_assert!(told.len() <= 80 && told.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{told}");
            }
        }
    }
}
