//! The program is killed with SIGKILL at random instants, again and again, and has to end with the very records of a run that never was.

mod common;

use std::time::Duration;

use common::{Place, copy, setting, start};
use softstake::generate::{Synthetic, write};

/// A small generator of our own: which instant, which case.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn killed_at_random_instants() {
    let rounds = setting("TEST_KILL_ROUNDS", 50);
    let seed = setting("TEST_KILL_SEED", 1);
    let mut dice = Dice(seed);
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
    write(&whole.bus(), &spec, 0..spec.epochs, &mut |_| {}).expect("the bus is written");
    let bare = Place::new();
    copy(&whole.bus(), &bare.bus());
    let began = std::time::Instant::now();
    whole.run(Some(4));
    let alone = began.elapsed();
    let outcome = whole.outcome();

    let mut kills = 0;
    let mut lives = 0;
    while kills < rounds {
        lives += 1;
        let place = Place::new();
        copy(&bare.bus(), &place.bus());
        // Each life is killed several times: in the middle of work, of recovery, and of the recovery of that.
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
                // Now and then the state is lost as well.
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
