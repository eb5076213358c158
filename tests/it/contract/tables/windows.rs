//! Windows are in days, and count in whole epochs.

use super::check;

/// Closes the first epochs of A. Then a posting that is just in the window, and one just behind it.
fn behind(epoch: &str, closed: u64, in_window: &str, too_old: &str) -> String {
    let mut table = format!("list A epoch={epoch} late=forfeit\n+0s deposit ann A 1\n");
    for number in 0..closed {
        table += &format!("close A {number}\n");
    }
    table += &format!("run\n{in_window} deposit ann A 1\n{too_old} deposit ann A 1\n=>\n");
    for number in 0..closed {
        table += &format!("seal A:{number}\n");
    }
    table
}

#[test]
fn seven_days_are_168_epochs_of_an_hour() {
    // The oldest open epoch is 169. Epoch 1 is 168 behind, epoch 0 is 169 behind.
    let mut table = behind("1h", 169, "+1h", "+0.999h");
    table += "late deposits:0:1:0 ann A 1 1->169 forfeit\ndead deposits:0:2 too_old\n";
    check(&table);
}

#[test]
fn seven_days_are_7_epochs_of_a_day() {
    let mut table = behind("1d", 8, "+1d", "+23.999h");
    table += "late deposits:0:1:0 ann A 1 1->8 forfeit\ndead deposits:0:2 too_old\n";
    check(&table);
}

#[test]
fn seven_days_are_1_epoch_of_a_month() {
    let mut table = behind("31d", 2, "+31d", "+30.999d");
    table += "late deposits:0:1:0 ann A 1 1->2 forfeit\ndead deposits:0:2 too_old\n";
    check(&table);
}

#[test]
fn four_hundred_days_ahead_are_whole_epochs_too() {
    check(
        "
        list H epoch=1h
        list D epoch=1d
        list M epoch=31d
        # 9,600 epochs of an hour, 400 of a day, and 12.9 months, which are 13.
        +9600.999h deposit ann H 1
        +9601h     deposit ann H 1
        +400.999d  deposit ann D 1
        +401d      deposit ann D 1
        +433.999d  deposit ann M 1
        +434d      deposit ann M 1
        # The same for what is added to a pool.
        +9600h reward H 1
        +9601h reward H 1
        +401d  pool D -1
        =>
        dead deposits:0:1 too_far_ahead
        dead deposits:0:3 too_far_ahead
        dead deposits:0:5 too_far_ahead
        dead control:0:4 too_far_ahead
        dead control:0:5 too_far_ahead
        ",
    );
}

#[test]
fn copies_are_recognised_for_just_as_long() {
    check(
        "
        dedup 1
        list A epoch=1d late=forfeit
        +0s deposit ann A 1 id=x
        close A 0
        run
        +0s deposit ann A 1 id=x
        +0s deposit ann A 2 id=x
        close A 1
        run
        # The first one would be too old now, so the id is free.
        +0s deposit ann A 1 id=x
        +1d deposit ann A 4 id=x
        +1d deposit ann A 4 id=x
        close A 2
        =>
        dead deposits:0:2 conflicting_duplicate
        dead deposits:0:3 too_old
        late deposits:0:4:0 ann A 4 1->2 forfeit
        seal A:0
        seal A:1
        seal A:2 closing=5
        counted ignored=0 copies=2
        ",
    );
}
