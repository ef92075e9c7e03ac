//! On which level a slot lives: the same on every device, from a seed and the slot alone.

use crate::config::HnswConfig;

/// floor(-ln(u) * `level_multiplier`), capped by `max_level`; u from a hash of seed and slot.
pub(super) fn level(seed: u64, slot: u32, config: &HnswConfig) -> u8 {
    // 53 bits, and never 0: u is in (0, 1].
    let bits = (splitmix64(seed ^ splitmix64(u64::from(slot))) >> 11) + 1;
    let u = bits as f64 / (1u64 << 53) as f64;
    let height = (-u.ln() * f64::from(config.level_multiplier)).floor();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "capped by max_level, which is at most 30"
    )]
    let level = height.min(config.max_level as f64) as u8;
    level
}

/// Steele, Lea and Flood's mixer ("Fast splittable pseudorandom number generators", 2014).
fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_holds_about_one_in_m_of_the_one_below() {
        let config = HnswConfig::default();
        let mut counts = [0usize; 17];
        for slot in 0..1_000_000 {
            counts[usize::from(level(7, slot, &config))] += 1;
        }
        let above: usize = counts[1..].iter().sum();
        assert!((60_000..65_000).contains(&above), "{counts:?}");
        let above: usize = counts[2..].iter().sum();
        assert!((3_600..4_200).contains(&above), "{counts:?}");
    }

    #[test]
    fn the_cap_holds() {
        let config = HnswConfig {
            max_level: 1,
            level_multiplier: 4.0,
            ..HnswConfig::default()
        };
        assert!((0..1000).all(|slot| level(1, slot, &config) <= 1));
    }
}
