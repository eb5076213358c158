//! Exact fractions of amounts: shares of a balance, which no decimal number holds.

use std::cmp::Ordering;

use ruint::Uint;

use crate::core::values::amount::exact::ExactAmount;

/// Wide enough for a product of two amounts.
type Product = Uint<1024, 16>;

/// One amount divided by another that is not zero.
#[derive(Debug, Clone, Copy)]
pub struct Fraction {
    numerator: ExactAmount,
    denominator: ExactAmount,
}

impl Fraction {
    /// `None` if the denominator is zero.
    #[must_use]
    pub fn new(numerator: ExactAmount, denominator: ExactAmount) -> Option<Self> {
        (denominator != ExactAmount::default()).then_some(Self { numerator, denominator })
    }

    /// This part of an amount, cut to 18 decimals; `None` if it does not fit, which no part of a published amount comes near.
    #[must_use]
    pub fn of(&self, amount: ExactAmount) -> Option<ExactAmount> {
        let whole: Product = self.numerator.raw().widening_mul(amount.raw());
        let part = whole.checked_div(Product::from_limbs_slice(self.denominator.raw().as_limbs()))?;
        ExactAmount::from_limbs(part.as_limbs())
    }

    /// The fraction as a decimal number, cut to 18 decimals; `None` if it does not fit.
    #[must_use]
    pub fn decimals(&self) -> Option<ExactAmount> {
        self.of(ExactAmount::ONE)
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Fraction {}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        let left: Product = self.numerator.raw().widening_mul(other.denominator.raw());
        let right: Product = other.numerator.raw().widening_mul(self.denominator.raw());
        left.cmp(&right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> ExactAmount {
        ExactAmount::parse(text).unwrap()
    }

    fn fraction(numerator: &str, denominator: &str) -> Fraction {
        Fraction::new(exact(numerator), exact(denominator)).unwrap()
    }

    #[test]
    fn fractions_are_exact_where_decimals_are_not() {
        assert!(fraction("1", "3") > fraction("0.333333333333333333", "1"));
        assert!(fraction("1", "3") == fraction("0.000000000000000001", "0.000000000000000003"));
        assert!(fraction("2", "3") < fraction("3", "4"));
        assert_eq!(fraction("1", "3").of(exact("9")), Some(exact("3")));
        assert_eq!(fraction("1", "3").decimals(), Some(exact("0.333333333333333333")));
        assert_eq!(fraction("2", "3").of(exact("1")), Some(exact("0.666666666666666666")));
        assert_eq!(fraction("0", "5").decimals(), Some(ExactAmount::default()));
        assert!(Fraction::new(exact("1"), exact("0")).is_none());
    }

    #[test]
    fn what_does_not_fit_is_nothing() {
        let most = ExactAmount::parse_units(&ruint::aliases::U512::MAX.to_string()).unwrap();
        let whole = Fraction::new(most, most).unwrap();
        assert_eq!(whole.of(most), Some(most));
        assert_eq!(Fraction::new(most, exact("1")).unwrap().of(most), None);
    }
}
