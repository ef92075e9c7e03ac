//! Numbers as JSON has them, compared by value and exactly.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A number: whole from -2^63 up to 2^64 - 1 exactly, anything else as a float. 1 and 1.0 are the same number.
#[derive(Debug, Clone, Copy)]
pub struct Number(Form);

/// Whole numbers within the bounds of i64 and u64 are always `Whole`, so that equal numbers have one form.
#[derive(Debug, Clone, Copy)]
enum Form {
    Whole(i128),
    Float(f64),
}

/// Where whole numbers end, as floats; the upper one is the first that is out.
const LOWEST: f64 = -9_223_372_036_854_775_808.0;
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

impl Number {
    /// From a JSON number.
    pub(super) fn from_json(number: &serde_json::Number) -> Self {
        if let Some(whole) = number.as_i64() {
            whole.into()
        } else if let Some(whole) = number.as_u64() {
            whole.into()
        } else {
            number.as_f64().unwrap_or(f64::NAN).into()
        }
    }

    /// As a JSON number; `None` if it is not finite.
    pub(super) fn to_json(self) -> Option<serde_json::Number> {
        match self.0 {
            Form::Whole(whole) => serde_json::Number::from_i128(whole),
            Form::Float(float) => serde_json::Number::from_f64(float),
        }
    }

    /// Neither infinite nor NaN.
    pub(super) fn is_finite(self) -> bool {
        match self.0 {
            Form::Whole(_) => true,
            Form::Float(float) => float.is_finite(),
        }
    }
}

impl From<f64> for Number {
    fn from(float: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::float_cmp,
            reason = "a whole number within bounds, checked just here"
        )]
        if float.trunc() == float && (LOWEST..BEYOND).contains(&float) {
            Self(Form::Whole(float as i128))
        } else {
            Self(Form::Float(float))
        }
    }
}

impl From<f32> for Number {
    fn from(float: f32) -> Self {
        f64::from(float).into()
    }
}

macro_rules! from_whole {
    ($($whole:ty),*) => {$(
        impl From<$whole> for Number {
            fn from(whole: $whole) -> Self {
                Self(Form::Whole(whole.into()))
            }
        }
    )*};
}

from_whole!(i32, u32, i64, u64);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Form::Whole(a), Form::Whole(b)) => a.cmp(&b),
            (Form::Float(a), Form::Float(b)) => a.total_cmp(&b),
            (Form::Whole(a), Form::Float(b)) => against(a, b),
            (Form::Float(a), Form::Whole(b)) => against(b, a).reverse(),
        }
    }
}

/// A whole number against a float that is not one, or lies beyond them all.
fn against(whole: i128, float: f64) -> Ordering {
    // The cast saturates, and cuts what is left to the floor: within 2^64 nothing is lost but the fraction.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturating, and the fraction is not needed"
    )]
    let floor = float.floor() as i128;
    if float.is_nan() {
        // Where total_cmp has it.
        if float.is_sign_negative() {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    } else if whole <= floor {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Form::Whole(whole) => whole.hash(state),
            Form::Float(float) => float.to_bits().hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let same = [
            (Number::from(1), Number::from(1.0)),
            (Number::from(0), Number::from(-0.0)),
            (
                Number::from(9_007_199_254_740_992i64),
                Number::from(9_007_199_254_740_992.0),
            ),
            (Number::from(i64::MIN), Number::from(LOWEST)),
        ];
        for (a, b) in same {
            assert_eq!(a, b);
        }
        let rising = [
            Number::from(f64::NEG_INFINITY),
            Number::from(-1e300),
            Number::from(i64::MIN),
            Number::from(-1.5),
            Number::from(-1),
            Number::from(-0.5),
            Number::from(0),
            Number::from(0.5),
            Number::from(9_007_199_254_740_992i64),
            Number::from(9_007_199_254_740_993i64),
            Number::from(u64::MAX),
            Number::from(BEYOND),
            Number::from(f64::INFINITY),
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn json_and_back() {
        for text in ["0", "-7", "18446744073709551615", "0.25", "1e300"] {
            let number: serde_json::Number = text.parse().unwrap();
            let ours = Number::from_json(&number);
            assert_eq!(Number::from_json(&ours.to_json().unwrap()), ours);
        }
        assert!(Number::from(f64::NAN).to_json().is_none());
    }
}
