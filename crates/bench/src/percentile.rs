//! Percentiles.

/// The value below which `percent` of the values lie, between neighbours in proportion, as NumPy has it; sorts them.
/// NaN if there are none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list of times; a rank is not negative and below its length"
)]
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let rank = last as f64 * percent.clamp(0.0, 100.0) / 100.0;
    let below = values[rank.floor() as usize];
    let above = values[rank.ceil() as usize];
    below + (above - below) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_numpy_has_it() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&mut values, 50.0), 2.5);
        assert_eq!(percentile(&mut values, 0.0), 1.0);
        assert_eq!(percentile(&mut values, 100.0), 4.0);
        assert!((percentile(&mut values, 99.0) - 3.97).abs() < 1e-12);
        assert_eq!(percentile(&mut [7.0], 99.0), 7.0);
        assert!(percentile(&mut [], 50.0).is_nan());
    }
}
