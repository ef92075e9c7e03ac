//! What times say.

use super::Candidate;

/// Times in milliseconds: their median, and from the lowest to the highest, without one at each end where there are five or more. `None` if there are none.
pub(super) fn summary(times: &mut [f64]) -> Option<(f64, f64)> {
    times.sort_by(f64::total_cmp);
    let median = *times.get(times.len() / 2)?;
    let aside = usize::from(times.len() >= 5);
    let (lowest, highest) = (times[aside], times[times.len() - 1 - aside]);
    Some((median, highest - lowest))
}

/// The fastest candidate, if it beats the default by more than the spread of either; else the default. Of equally fast ones the first.
pub(super) fn choose(candidates: &[Candidate], default: u64) -> u64 {
    let measured = || {
        candidates.iter().filter_map(|candidate| {
            Some((candidate.value, candidate.median_ms?, candidate.spread_ms?))
        })
    };
    let Some((_, usual, usual_spread)) = measured().find(|(value, ..)| *value == default) else {
        return default;
    };
    measured()
        .min_by(|(_, one, _), (_, other, _)| one.total_cmp(other))
        .filter(|(_, median, spread)| usual - median > spread.max(usual_spread))
        .map_or(default, |(value, ..)| value)
}
