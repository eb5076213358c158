//! Kills with SIGKILL at random instants: in the end the output must equal that of a run without a kill.

use std::time::{Duration, Instant};

use softstake::generate::Synthetic;

use crate::common::{Dice, Place, copy, setting, start};

#[test]
fn kills_at_random_instants_do_not_change_the_output() {
    let rounds = setting("TEST_KILL_ROUNDS", 50);
    let seed = setting("TEST_KILL_SEED", 1);
    let mut dice = Dice::new(seed);
    let spec = Synthetic {
        events: 30_000,
        accounts: 1_500,
        seed,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let whole = Place::new();
    whole.bring_all(&spec);
    let bare = Place::new();
    copy(&whole.bus(), &bare.bus());
    let began = Instant::now();
    whole.run(Some(4));
    let alone = began.elapsed();
    let outcome = whole.outcome();

    let mut kills = 0;
    let mut lives = 0;
    while kills < rounds {
        lives += 1;
        let place = Place::new();
        copy(&bare.bus(), &place.bus());
        // Each place is killed several times: during work, during recovery, and during the recovery after that.
        loop {
            let mut child = start(&mut place.command(Some(4)));
            let instant = Duration::from_micros(dice.throw(u64::try_from(alone.as_micros()).expect("short") * 6 / 5));
            std::thread::sleep(instant);
            let ended = child.try_wait().expect("the program's status");
            if let Some(status) = ended {
                assert!(status.success(), "life {lives} after {kills} kills ended with {status}");
                break;
            }
            child.kill().expect("SIGKILL");
            child.wait().expect("its end");
            kills += 1;
            if dice.throw(8) == 0 {
                // Sometimes the state is lost as well.
                let _ = std::fs::remove_dir_all(place.state());
            }
            if kills >= rounds {
                break;
            }
        }
        place.run(Some(4));
        assert_eq!(
            place.outcome(),
            outcome,
            "life {lives}, {kills} kills so far, seed {seed}"
        );
    }
    println!("{kills} kills in {lives} lives, a whole run takes {alone:?}");
}
