//! Names of assets, and accounts with owners.

use super::check;

#[test]
fn assets_may_have_any_printable_name() {
    check(
        "
        list USDe
        list DOT.S
        list 币安人生
        # Names are compared byte by byte: this one is another.
        list usde
        +0s deposit ann USDe 1
        +0s deposit ann DOT.S 1
        +0s deposit ann 币安人生 1
        close USDe 0 pool=1
        close DOT.S 0 pool=1
        close 币安人生 0 pool=1
        close usde 0 pool=1
        =>
        paid USDe:0 ann 1
        paid DOT.S:0 ann 1
        paid 币安人生:0 ann 1
        seal USDe:0
        seal DOT.S:0
        seal 币安人生:0
        seal usde:0 returned=1
        ",
    );
}

#[test]
fn wrong_names_of_assets_are_dead_letters() {
    let mut table = "list A\n".to_owned();
    // 32 bytes are allowed, 33 are not.
    let names = [
        "A".repeat(33),
        format!("{}é", "A".repeat(31)),
        String::new(),
        "A:B".to_owned(),
        "A B".to_owned(),
        "A\u{3000}B".to_owned(),
        "A\u{200b}B".to_owned(),
        "A\u{85}B".to_owned(),
    ];
    for name in &names {
        let name = serde_json::to_string(name)
            .expect("a string")
            .replace(' ', "\\u0020")
            .replace('\u{3000}', "\\u3000");
        let name = name.replace('\u{85}', "\\u0085");
        table += &format!("+0s deposit ann A 1 with={{\"asset\":{name}}}\n");
    }
    table += &format!("+0s deposit ann {} 1\n", "A".repeat(32));
    table += &format!("+0s deposit ann {}é 1\n", "A".repeat(30));
    table += "=>\ncounted ignored=2 copies=0\n";
    for offset in 0..names.len() {
        table += &format!("dead deposits:0:{offset} invalid_event\n");
    }
    check(&table);
}

#[test]
fn sub_accounts_share_minimum_cap_and_tiers() {
    check(
        "
        list MIN scope=owner min_balance=5
        list CAP scope=owner max_balance=10000
        list TIER scope=owner tiers=100:1,-:2
        # 3 and 2 are 5 together. 4 alone is too little.
        +0s deposit u/a MIN 3
        +0s deposit u/b MIN 2
        +0s deposit v/a MIN 4
        # 6,000 and 6,000 count as 10,000, and v's 10,000 as well.
        +0s deposit u CAP 6000
        +0s deposit u/a CAP 6000
        +0s deposit v CAP 10000
        # 150 and 50 are 100 and twice 100: a weight of 300, of which u/a has three quarters.
        +0s deposit u/a TIER 150
        +0s deposit u/b TIER 50
        +0s deposit v TIER 100
        close MIN 0 pool=5
        close CAP 0 pool=4
        close TIER 0 pool=4
        =>
        paid MIN:0 u/a 3
        paid MIN:0 u/b 2
        paid CAP:0 u 1
        paid CAP:0 u/a 1
        paid CAP:0 v 2
        paid TIER:0 u/a 2.25
        paid TIER:0 u/b 0.75
        paid TIER:0 v 1
        seal MIN:0 below=1 seconds=500 closing=5
        seal CAP:0 seconds=2000000 closing=22000
        seal TIER:0
        ",
    );
}

#[test]
fn with_account_scope_each_account_is_judged_alone() {
    check(
        "
        list A min_balance=5 max_balance=10
        +0s deposit u/a A 3
        +0s deposit u/b A 20
        +0s deposit u A 10
        close A 0 pool=2
        =>
        paid A:0 u 1
        paid A:0 u/b 1
        seal A:0 below=1 seconds=2000
        ",
    );
}

#[test]
fn only_accounts_that_earn_count_for_their_owner() {
    check(
        "
        list A scope=owner max_balance=10
        +0s deposit u/a A 8
        +0s deposit u/b A 8
        +0s status u/b opted_out
        +0s withdraw u/c A 3
        +0s deposit v A 8
        # A name that begins with a slash is its own owner.
        +0s deposit /x A 8
        +0s deposit /y A 8
        close A 0 pool=4
        =>
        # 8 of u/a alone. The debt of u/c and the balance of u/b do not count.
        paid A:0 u/a 1
        paid A:0 v 1
        paid A:0 /x 1
        paid A:0 /y 1
        seal A:0 status=1 negative=1
        ",
    );
}

#[test]
fn parts_of_an_owner_are_rounded_down() {
    check(
        "
        # In unit-milliseconds: S of 100,000 and 200,000 are capped at 100,000 together, so C is 33,333 and 66,666.
        list A decimals=0 scope=owner max_balance=1
        +0s deposit u/a A 1
        +0s deposit u/b A 2
        close A 0 pool=10
        =>
        paid A:0 u/a 3
        paid A:0 u/b 6
        seal A:0 seconds=99.999 out=1
        ",
    );
}
