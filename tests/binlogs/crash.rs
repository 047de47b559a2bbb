//! The step killed at random moments, while the server writes: what the archive says it has is there, each transaction once and in order, whether it
//! is encrypted or not.

use std::time::Duration;

use super::Stage;

/// How often the step is killed.
const KILLS: u32 = 60;

#[test]
fn a_step_that_is_killed_anywhere_loses_nothing_and_doubles_nothing() {
    killed_anywhere(Stage::new());
}

#[test]
fn one_that_encrypts_and_is_killed_anywhere_does_neither() {
    let mut stage = Stage::new();
    stage.encrypt();
    killed_anywhere(stage);
}

fn killed_anywhere(mut stage: Stage) {
    let mut random = fastrand::Rng::with_seed(18);
    let (mut archived, mut killed) = (0, 0);
    for _round in 0..KILLS {
        stage.server.commit(random.u64(1..40));
        if random.u8(..4) == 0 {
            stage.server.flush();
            stage.server.commit(random.u64(1..10));
        }
        let mut step = stage.command().stderr(std::process::Stdio::null()).spawn().unwrap();
        // Its moment is a time: a pass takes some milliseconds here.
        std::thread::sleep(Duration::from_micros(random.u64(..9000)));
        step.kill().unwrap();
        killed += u32::from(!step.wait().unwrap().success());
        if stage.archive().timelines().unwrap().is_empty() {
            continue;
        }
        let numbers = stage.numbers(1);
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(numbers.len() >= archived, "what was archived went");
        archived = numbers.len();
    }
    assert!(killed > KILLS / 4, "{killed} of {KILLS} were killed");
    stage.pass();
    assert_eq!(stage.numbers(1), (1..=stage.server.last).collect::<Vec<_>>());
    assert_eq!(stage.because(), "1: it is the first");
    for file in 1..=stage.server.file {
        let path = stage.server.dir.join(super::Writer::name(file));
        assert_eq!(stage.by_hand(1, file), super::closed(&path), "{file}");
    }
}
