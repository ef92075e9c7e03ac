//! The kernels: their texts, and how a text becomes the one that runs.
//!
//! A kernel is WGSL put together from parts: its own file, the parts it shares with others, and two parts that depend
//! on the device and the data: how rows are reached (one binding for each chunk of them) and how threads share a score
//! (by exchange between lanes, or through workgroup memory). What is fixed for a run is written in front as constants, so that
//! the device's compiler sees it. Bind group 0 is the kernel's own, with its parameters at binding 0; group 1 holds the
//! chunks of rows; group 2 the links.

use std::fmt::Write;
use std::hash::{Hash, Hasher};

use crate::config::Precision;
use crate::engine::Scoring;

/// Declares parameters of kernels: structs of u32, with the names of their fields.
macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: u32),*
        }

        impl $name {
            /// The fields, in order.
            pub(crate) const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    )*};
}
pub(crate) use params;

pub(crate) mod exact;
pub(crate) mod graph;
pub(crate) mod lanes;
pub(crate) mod seal;
#[cfg(test)]
mod tests;

/// A piece of a kernel's text.
#[derive(Debug)]
pub(crate) enum Part {
    /// A file.
    Text(&'static str),
    /// `row_part(slot, part)`, for as many chunks as there are.
    Rows,
    /// `score_query(thread, query, slot, wanted)` for queries from outside, in the form that rows have.
    Asked,
    /// `Place`, `thread_of` and `team_sum`.
    Team,
    /// `link_at(level, slot, place)`, for as many chunks of links as the constant `LINK_CHUNKS` says, in bind group 2.
    Links,
    /// The same in bind group 1, for a kernel that sees no rows.
    LinksAlone,
    /// `set_link(level, slot, place, value)`, likewise, in bind group 1.
    LinksToWrite,
    /// `multiply`, of matrices of the size that the constant `BLOCK` says.
    Products,
}

/// The order of neighbours.
pub(crate) const ORDER: Part = Part::Text(include_str!("kernels/order.wgsl"));
/// The score of two rows.
pub(crate) const SCORE: Part = Part::Text(concat!(
    include_str!("kernels/measure.wgsl"),
    include_str!("kernels/score.wgsl")
));
/// One row against many.
pub(crate) const QUERY: Part = Part::Text(include_str!("kernels/query.wgsl"));
/// Queries that are rows.
pub(crate) const QUERY_SLOT: Part = Part::Text(include_str!("kernels/query_slot.wgsl"));

/// How threads share a score: without exchange between lanes, and with it.
const TEAMS: [&str; 2] = [
    include_str!("kernels/team_shared.wgsl"),
    include_str!("kernels/team_subgroup.wgsl"),
];

/// A kernel: the name of its entry point, and its text in parts.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The entry point, and the label under which the device's tools show it. No two kernels share one.
    pub(crate) entry: &'static str,
    /// The fields of its parameters, all of them u32; the text says the same, and a test compares.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only the test that compares reads it")
    )]
    pub(crate) params: &'static [&'static str],
    /// The text, in order.
    pub(crate) parts: &'static [Part],
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entry.hash(state);
    }
}

/// What a constant of a kernel is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Constant {
    /// A number.
    Number(u32),
    /// Yes or no.
    Flag(bool),
}

/// How the rows a kernel sees lie in buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowsShape {
    /// vec4 in a row.
    pub(crate) parts: u32,
    /// What is in them: floats, or a small form and what else is to be known of a row.
    pub(crate) form: Precision,
    /// Buffers.
    pub(crate) chunks: u32,
    /// A buffer holds two to the power of this many rows.
    pub(crate) chunk_shift: u32,
}

/// A kernel with everything set that is fixed for a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Specialised {
    /// Which kernel.
    pub(crate) kernel: &'static Kernel,
    /// The rows it sees.
    pub(crate) rows: RowsShape,
    /// How they are scored.
    pub(crate) scoring: Scoring,
    /// Whether lanes exchange values.
    pub(crate) subgroups: bool,
    /// Its own constants.
    pub(crate) constants: Vec<(&'static str, Constant)>,
}

impl Specialised {
    /// The text that runs.
    pub(crate) fn source(&self) -> String {
        let mut text = String::new();
        if self.multiplies() {
            text.push_str(exact::products::ENABLE);
        }
        let common = [
            ("PARTS", Constant::Number(self.rows.parts)),
            ("CHUNK_SHIFT", Constant::Number(self.rows.chunk_shift)),
            (
                "EUCLIDEAN",
                Constant::Flag(self.scoring == Scoring::SquaredEuclidean),
            ),
        ];
        for (name, constant) in common.iter().chain(&self.constants) {
            // Writing to a string does not fail.
            let _ = match constant {
                Constant::Number(number) => writeln!(text, "const {name}: u32 = {number}u;"),
                Constant::Flag(flag) => writeln!(text, "const {name}: bool = {flag};"),
            };
        }
        for part in self.kernel.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Rows => text.push_str(&self.rows.text()),
                Part::Asked => text.push_str(self.rows.form.asked()),
                Part::Links => text.push_str(&graph::links(self.link_chunks(), 2, false)),
                Part::LinksAlone => text.push_str(&graph::links(self.link_chunks(), 1, false)),
                Part::LinksToWrite => text.push_str(&graph::links(self.link_chunks(), 1, true)),
                Part::Products => text.push_str(&self.products()),
                Part::Team => text.push_str(TEAMS[usize::from(self.subgroups)]),
            }
            text.push('\n');
        }
        text
    }
}

/// A sum over the texts of all kernels: what was measured with others says nothing of these.
pub(crate) fn fingerprint() -> u64 {
    let mut sum = twox_hash::XxHash3_64::new();
    let mut add = |text: &str| {
        sum.write(text.as_bytes());
        // So that no two parts run together.
        sum.write(&[0xff]);
    };
    let rows = |form| RowsShape {
        parts: 1,
        form,
        chunks: 2,
        chunk_shift: 1,
    };
    let all = exact::ALL.into_iter().chain(exact::products::ALL);
    for kernel in all.chain(graph::ALL).chain([&seal::SEAL]) {
        add(kernel.entry);
        for part in kernel.parts {
            match part {
                Part::Text(text) => add(text),
                Part::Rows => Precision::ALL
                    .iter()
                    .for_each(|form| add(&rows(*form).text())),
                Part::Asked => Precision::ALL.iter().for_each(|form| add(form.asked())),
                Part::Team => TEAMS.iter().for_each(|text| add(text)),
                Part::Links => add(&graph::links(2, 2, false)),
                Part::LinksAlone => add(&graph::links(2, 1, false)),
                Part::LinksToWrite => add(&graph::links(2, 1, true)),
                Part::Products => [8, 16]
                    .iter()
                    .for_each(|block| add(&exact::products::multiply(*block))),
            }
        }
    }
    sum.finish()
}

impl Specialised {
    /// Whether it needs products of matrices.
    pub(crate) fn multiplies(&self) -> bool {
        let products = |part: &Part| matches!(part, Part::Products);
        self.kernel.parts.iter().any(products) && !self.imitates()
    }

    fn imitates(&self) -> bool {
        self.constants.contains(&("IMITATED", Constant::Flag(true)))
    }

    fn products(&self) -> String {
        #[cfg(test)]
        if self.imitates() {
            return exact::products::imitate();
        }
        exact::products::multiply(self.number("BLOCK"))
    }

    fn link_chunks(&self) -> u32 {
        self.number("LINK_CHUNKS")
    }

    /// A constant that is a number; 1 if there is none of this name.
    fn number(&self, of: &str) -> u32 {
        self.constants
            .iter()
            .find_map(|(name, constant)| match constant {
                Constant::Number(number) if *name == of => Some(*number),
                _ => None,
            })
            .unwrap_or(1)
    }
}

impl Precision {
    /// How queries from outside are scored against rows of this form.
    fn asked(self) -> &'static str {
        match self {
            Self::F32 => concat!(
                include_str!("kernels/measure.wgsl"),
                include_str!("kernels/query_external.wgsl"),
                include_str!("kernels/query.wgsl")
            ),
            Self::F16 => concat!(
                include_str!("kernels/measure.wgsl"),
                include_str!("kernels/query_halves.wgsl")
            ),
            Self::Int8 => include_str!("kernels/query_bytes.wgsl"),
        }
    }
}

impl RowsShape {
    /// The bindings, and `row_part`. One chunk costs no branch.
    fn text(self) -> String {
        let mut text = String::new();
        let number = if self.form.is_full() { "f32" } else { "u32" };
        for chunk in 0..self.chunks {
            let _ = writeln!(
                text,
                "@group(1) @binding({chunk}) var<storage, read> rows_{chunk}: array<vec4<{number}>>;"
            );
        }
        let _ = writeln!(
            text,
            "fn row_part(slot: u32, part: u32) -> vec4<{number}> {{"
        );
        if self.chunks == 1 {
            text.push_str("    return rows_0[slot * PARTS + part];\n}\n");
            return text;
        }
        text.push_str(
            "    let at = (slot & ((1u << CHUNK_SHIFT) - 1u)) * PARTS + part;\n    switch slot >> CHUNK_SHIFT {\n",
        );
        for chunk in 1..self.chunks {
            let _ = writeln!(
                text,
                "        case {chunk}u: {{ return rows_{chunk}[at]; }}"
            );
        }
        text.push_str("        default: { return rows_0[at]; }\n    }\n}\n");
        text
    }
}
