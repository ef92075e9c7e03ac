//! What the `vectorizer` command and the project's gates share: files of vectors, ground truth, recall, made-up data.
//!
//! [`Matrix`] opens `.npy`, `.fvecs` and `.bvecs` files and gives their rows as `f32` a block at a time; [`truth::read`]
//! reads the true neighbours; [`recall::recall`] says how many of them were found, and counts ties; [`Mixture`] makes
//! data where there is none.
//!
//! A bench ([`sweep`] for our engines, [`outside`] for others, both by [`measure`]) writes [`lines`]; [`summary`] brings those of several
//! rounds together, [`page`] and [`picture`] show them, [`compare`] tells two benches apart. [`gate`] holds recall and work to a record.
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact values of small data"
    )
)]

pub mod compare;
pub mod dataset;
pub mod error;
pub mod gate;
pub mod id_file;
pub mod ids;
mod input;
pub mod lines;
pub mod machine;
pub mod matrix;
pub mod measure;
pub mod npy;
pub mod outside;
pub mod page;
pub mod percentile;
pub mod picture;
pub mod recall;
mod sampler;
pub mod summary;
pub mod sweep;
pub mod synthetic;
mod thousands;
pub mod truth;
mod vecs;

pub use error::DataError;
pub use id_file::IdFile;
pub use ids::IdTable;
pub use matrix::Matrix;
pub use percentile::percentile;
pub use synthetic::Mixture;
pub use thousands::thousands;
