//! A small embedder: text to vectors without a model, a stand-in for a real one.
//!
//! Words and pieces of words are hashed to places of the vector ("feature hashing", Weinberger et al. 2009):
//! 1. A text is cut into lower-case words; `snake_case` and `camelCase` names are cut at their seams.
//! 2. Features are each word, and each run of four letters of it with its ends marked, at half the weight: `search`
//!    and `searching` share most of their runs, so that spellings of one stem are near each other.
//! 3. A feature that stands t times in the text and in d of n texts weighs (1 + ln t) * ln((n + 1) / (d + 1)).
//! 4. The hash of a feature chooses its place and its sign; clashes then cancel on average instead of adding up.
//!
//! It knows spelling, not meaning: "car" and "automobile" are strangers to it.

use std::collections::{BTreeMap, HashMap};

/// Numbers in a vector.
pub(super) const DIMENSION: usize = 512;
/// Letters of a piece of a word.
const PIECE: usize = 4;
/// What a piece weighs beside a word.
const PIECE_WEIGHT: f64 = 0.5;

/// The weights of features, learnt from the texts to be searched.
#[derive(Debug, Default)]
pub(super) struct Embedder {
    texts: usize,
    /// In how many texts each feature stands.
    standing: HashMap<u64, u32>,
}

impl Embedder {
    /// Counts the features of all texts.
    pub(super) fn learn<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut embedder = Self::default();
        for text in texts {
            embedder.texts += 1;
            for feature in features(text).keys() {
                *embedder.standing.entry(*feature).or_default() += 1;
            }
        }
        embedder
    }

    /// The vector of a text. Zero if nothing in it is a word.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "weights are small, and vectors are single precision"
    )]
    pub(super) fn embed(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0f64; DIMENSION];
        for (hash, times) in features(text) {
            let standing = self.standing.get(&hash).copied().unwrap_or_default();
            let rarity = ((self.texts + 1) as f64 / f64::from(standing + 1)).ln();
            let weight = times.weight * (1.0 + f64::from(times.count).ln()) * rarity;
            let place = (hash % DIMENSION as u64) as usize;
            // A bit that the place does not depend on.
            vector[place] += if hash >> 63 == 0 { weight } else { -weight };
        }
        vector.into_iter().map(|number| number as f32).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    count: u32,
    weight: f64,
}

/// The features of a text by their hash, in a fixed order, so that sums do not depend on chance.
fn features(text: &str) -> BTreeMap<u64, Times> {
    let mut features = BTreeMap::new();
    let mut count = |feature: &str, weight| {
        let times = features
            .entry(hash(feature))
            .or_insert(Times { count: 0, weight });
        times.count += 1;
    };
    for word in words(text) {
        count(&word, 1.0);
        let marked: Vec<char> = format!("<{word}>").chars().collect();
        if marked.len() > PIECE {
            for piece in marked.windows(PIECE) {
                count(&piece.iter().collect::<String>(), PIECE_WEIGHT);
            }
        }
    }
    features
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for letter in text.chars().chain([' ']) {
        let seam = before.is_lowercase() && letter.is_uppercase();
        if (!letter.is_alphanumeric() || seam) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words
}

/// FNV-1a of 64 bits, with its bits mixed once more: the same on every machine and in every release.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn words_are_cut_at_their_seams() {
        assert_eq!(
            words("Fn add_vectorBatch(&self): HNSW, 2 µm—naïve"),
            [
                "fn", "add", "vector", "batch", "self", "hnsw", "2", "µm", "naïve"
            ]
        );
        assert!(words(" ,;").is_empty());
    }

    #[test]
    fn alike_is_near() {
        let texts = [
            "searching the graph for the nearest neighbours",
            "the licence of this project is MIT",
            "memory is counted by the ledger",
            "the weather of tomorrow",
        ];
        let embedder = Embedder::learn(texts);
        let query = embedder.embed("search a graph");
        let near: Vec<f32> = texts
            .iter()
            .map(|text| cosine(&query, &embedder.embed(text)))
            .collect();
        assert!(
            near[1..].iter().all(|other| near[0] > other + 0.2),
            "{near:?}"
        );
        assert_eq!(embedder.embed("graph"), embedder.embed("Graph"));
        assert_eq!(embedder.embed("...").len(), DIMENSION);
        assert!(
            embedder
                .embed("...")
                .iter()
                .all(|number| number.abs() < 1e-30)
        );
    }
}
