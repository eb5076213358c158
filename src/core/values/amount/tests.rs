use crate::core::values::amount::AmountError::{InexactProduct, Syntax, TooLarge, TooManyDigits, TooPrecise, Zero};
use crate::core::values::amount::*;
use proptest::prelude::*;
use ruint::aliases::U512;

#[test]
fn units_of_an_amount() {
    let e30 = format!("1{}", "0".repeat(30));
    let past_e30 = format!("1{}1", "0".repeat(29));
    let cases: &[(&str, u8, Result<u128, AmountError>)] = &[
        ("12.5", 6, Ok(12_500_000)),
        ("0", 6, Ok(0)),
        ("0.000", 0, Ok(0)),
        ("007", 0, Ok(7)),
        ("1.50", 1, Ok(15)),
        ("1.500000000000000000000000", 1, Ok(15)),
        ("1.51", 1, Err(TooPrecise { decimals: 1 })),
        ("0.000001", 6, Ok(1)),
        ("0.0000010", 6, Ok(1)),
        ("0.0000001", 6, Err(TooPrecise { decimals: 6 })),
        ("1", 18, Ok(10u128.pow(18))),
        ("1234.123456789012345678", 18, Ok(1_234_123_456_789_012_345_678)),
        ("18446744073709551615", 0, Ok(u128::from(u64::MAX))),
        ("18446744073709551616", 0, Ok(u128::from(u64::MAX) + 1)),
        ("99999999999999999999", 10, Ok(999_999_999_999_999_999_990_000_000_000)),
        (&e30, 0, Ok(MAX_UNITS)),
        (&past_e30, 0, Err(TooLarge)),
        (&e30, 1, Err(TooLarge)),
        ("1000000000000", 18, Ok(MAX_UNITS)),
        ("1000000000000.000000000000000000", 18, Ok(MAX_UNITS)),
        ("1000000000000.000000000000000001", 18, Err(TooLarge)),
        ("9999999999999", 18, Err(TooLarge)),
        // Decimals the contract never allows still give no wrong answer.
        ("0.1", 255, Err(TooLarge)),
        ("0.00000000000000000000000000000000000000001", 41, Ok(1)),
        ("", 6, Err(Syntax)),
        (".", 6, Err(Syntax)),
        (".5", 6, Err(Syntax)),
        ("5.", 6, Err(Syntax)),
        ("1..2", 6, Err(Syntax)),
        ("1.2.3", 6, Err(Syntax)),
        ("-1", 6, Err(Syntax)),
        ("+1", 6, Err(Syntax)),
        ("1e3", 6, Err(Syntax)),
        (" 1", 6, Err(Syntax)),
        ("1 ", 6, Err(Syntax)),
        ("1,5", 6, Err(Syntax)),
        ("1_000", 6, Err(Syntax)),
        ("0x10", 6, Err(Syntax)),
        ("NaN", 6, Err(Syntax)),
        ("1.5\n", 6, Err(Syntax)),
        ("\u{661}", 6, Err(Syntax)),
        ("\u{ff11}", 6, Err(Syntax)),
        ("1\0", 6, Err(Syntax)),
    ];
    for (text, decimals, expected) in cases {
        assert_eq!(
            Amount::parse(text).and_then(|text| text.units(*decimals)),
            *expected,
            "{text:?} at {decimals}"
        );
    }
}

#[test]
fn signed_amounts() {
    let units = |text| Amount::parse_signed(text).and_then(|(negative, text)| Ok((negative, text.units(2)?)));
    assert_eq!(units("-1.25"), Ok((true, 125)));
    assert_eq!(units("+1.25"), Ok((false, 125)));
    assert_eq!(units("1.25"), Ok((false, 125)));
    assert_eq!(units("-0"), Ok((true, 0)));
    for bad in ["", "-", "+", "--1", "+-1", "-+1", "- 1", "\u{2212}1", "1-"] {
        assert_eq!(units(bad), Err(Syntax), "{bad:?}");
    }
}

#[test]
fn zero_in_any_spelling() {
    for zero in ["0", "00", "0.0", "000.000"] {
        assert_eq!(Amount::parse(zero).and_then(Amount::positive), Err(Zero), "{zero}");
    }
    assert!(
        Amount::parse("0.0000000000000000000000000000000000000001")
            .and_then(Amount::positive)
            .is_ok()
    );
}

#[test]
fn products() {
    let tiny = format!("0.{}1", "0".repeat(200));
    let nines = "9".repeat(76);
    let ten_to_75 = format!("1{}", "0".repeat(75));
    let many = "1".repeat(77);
    let split = format!("{}.{}", "0".repeat(100), "1".repeat(76));
    // 2^76 and 5^76 / 10^46: all their digits go into one power of ten.
    let two = (1u128 << 76).to_string();
    let five = {
        let digits = U512::from(5u8).pow(U512::from(76u8)).to_string();
        format!("{}.{}", &digits[..digits.len() - 46], &digits[digits.len() - 46..])
    };
    let cases: &[(&str, &str, u8, Result<u128, AmountError>)] = &[
        ("2.5", "4", 0, Ok(10)),
        ("0.30", "1.5", 2, Ok(45)),
        ("0.3", "1.5", 1, Err(InexactProduct { decimals: 1 })),
        ("0", "1.5", 1, Ok(0)),
        ("1", "1", 18, Ok(10u128.pow(18))),
        ("0.000000000000000001", "1000000000000000000", 0, Ok(1)),
        ("1000000000000000", "1000000000000000", 0, Ok(MAX_UNITS)),
        ("1000000000000001", "1000000000000000", 0, Err(TooLarge)),
        ("18446744073709551615", "0.1", 1, Ok(u128::from(u64::MAX))),
        ("18446744073709551616", "0.1", 1, Ok(u128::from(u64::MAX) + 1)),
        (&tiny, "1", 18, Err(InexactProduct { decimals: 18 })),
        (&tiny, &ten_to_75, 18, Err(InexactProduct { decimals: 18 })),
        (&nines, &nines, 0, Err(TooLarge)),
        (&nines, "0.00001", 0, Err(InexactProduct { decimals: 0 })),
        (&many, "1", 0, Err(TooManyDigits)),
        ("1", &many, 0, Err(TooManyDigits)),
        (&split, "1", 0, Err(InexactProduct { decimals: 0 })),
        (&two, &five, 0, Ok(MAX_UNITS)),
    ];
    for (price, quantity, decimals, expected) in cases {
        let product = Amount::parse(price)
            .unwrap()
            .product_units(&Amount::parse(quantity).unwrap(), *decimals);
        assert_eq!(product, *expected, "{price} * {quantity} at {decimals}");
    }
}

#[test]
fn ten_million_digits() {
    let long = "9".repeat(10_000_000);
    assert_eq!(Amount::parse(&long).and_then(|text| text.units(18)), Err(TooLarge));
    let zeros = "0".repeat(10_000_000);
    assert_eq!(
        Amount::parse(&format!("{zeros}1.5{zeros}")).and_then(|text| text.units(6)),
        Ok(1_500_000)
    );
    let small = format!("0.{zeros}1");
    assert_eq!(
        Amount::parse(&small).and_then(|text| text.units(18)),
        Err(TooPrecise { decimals: 18 })
    );
    let text = Amount::parse(&small).unwrap();
    assert_eq!(text.product_units(&text, 18), Err(InexactProduct { decimals: 18 }));
}

#[test]
fn formatting() {
    let cases: &[(i128, u8, &str)] = &[
        (0, 0, "0"),
        (0, 18, "0"),
        (5, 0, "5"),
        (50, 0, "50"),
        (50, 1, "5"),
        (55, 1, "5.5"),
        (5, 3, "0.005"),
        (500, 3, "0.5"),
        (-500, 3, "-0.5"),
        (12_500_000, 6, "12.5"),
        (-1, 18, "-0.000000000000000001"),
        (i128::MAX, 0, "170141183460469231731687303715884105727"),
        (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        (
            100_000_000_000_000_000_000_000_000_000_000_000_000,
            19,
            "10000000000000000000",
        ),
    ];
    for (units, decimals, text) in cases {
        assert_eq!(format_signed_units(*units, *decimals), *text);
        let wide = format_units_wide(*units < 0, U512::from(units.unsigned_abs()), u32::from(*decimals));
        assert_eq!(wide, *text);
    }
    assert_eq!(format_units(u128::MAX, 0), u128::MAX.to_string());
    assert_eq!(format_units_wide(true, U512::ZERO, 3), "0");
    assert_eq!(format_units_wide(false, U512::MAX, 0), U512::MAX.to_string());
    let e40 = U512::from(10u8).pow(U512::from(40u8));
    assert_eq!(format_units_wide(true, e40, 39), "-10");
    assert_eq!(format_units_wide(false, e40, 43), "0.001");
}

proptest! {
    #[test]
    fn text_and_units_agree(units in 0..=MAX_UNITS, size in 0u32..31, decimals in 0u8..=18, zeros in 0usize..30) {
        let units = units / 10u128.pow(size);
        let text = format_units(units, decimals);
        prop_assert_eq!(Amount::parse(&text).and_then(|text| text.units(decimals)), Ok(units));
        let padding = "0".repeat(zeros);
        let point = if text.contains('.') { "" } else { ".0" };
        let padded = format!("{padding}{text}{point}{padding}");
        prop_assert_eq!(Amount::parse(&padded).and_then(|text| text.units(decimals)), Ok(units));
        prop_assert_eq!(format_units_wide(false, U512::from(units), u32::from(decimals)), text);
    }

    #[test]
    fn digits_agree_with_the_standard_library(number: u128, shift in 0u32..128) {
        prop_assert_eq!(format_units(number >> shift, 0), (number >> shift).to_string());
    }

    /// One and the same number, reached through the narrow path and, with factors shifted, through the wide one.
    #[test]
    fn products_agree_with_wide_arithmetic(
        a: u128, b: u128, cut in (0u32..128, 0u32..128), scale in (0u8..40, 0u8..40), decimals in 0u8..=18,
    ) {
        let (a, b) = (a >> cut.0, b >> cut.1);
        let (left, right) = (format_units(a, scale.0), format_units(b, scale.1));
        let got = Amount::parse(&left).unwrap().product_units(&Amount::parse(&right).unwrap(), decimals);
        let numerator = U512::from(a) * U512::from(b) * U512::from(10u8).pow(U512::from(decimals));
        let (whole, rest) = numerator.div_rem(U512::from(10u8).pow(U512::from(scale.0 + scale.1)));
        if !rest.is_zero() {
            let rejected = [Err(TooLarge), Err(InexactProduct { decimals })].contains(&got);
            prop_assert!(rejected, "{:?}", got);
        } else if whole > U512::from(MAX_UNITS) {
            prop_assert_eq!(got, Err(TooLarge));
        } else {
            prop_assert_eq!(got.map(U512::from), Ok(whole));
        }
    }

    #[test]
    fn syntax_is_the_grammar(text in "[0-9.+\\-e ]{0,6}") {
        let mut parts = text.splitn(2, '.');
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let valid = parts.next().is_some_and(digits) && parts.next().is_none_or(digits);
        prop_assert_eq!(Amount::parse(&text).is_ok(), valid);
    }
}
