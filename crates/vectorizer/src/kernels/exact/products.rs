//! Exact search by products of matrices.

use std::fmt::Write;

use super::{LIST, SORT};
use crate::kernels::{Constant, Kernel, ORDER, Part};

const LIMIT: Part = Part::Text(include_str!("../limit.wgsl"));

crate::kernels::params! {
    /// Parameters of `exact_halves`.
    HalvesParams { rows, first, first_row, first_slot, run, runs, step }
    /// Parameters of `exact_products`.
    ProductsParams { first_tile }
    /// Parameters of `exact_settle`.
    SettleParams { queries, first, k }
}
/// Rows in half floats.
pub(crate) static HALVES: Kernel = Kernel {
    entry: "exact_halves",
    params: HalvesParams::FIELDS,
    parts: &[
        Part::Rows,
        LIST,
        LIMIT,
        Part::Text(include_str!("../exact_halves.wgsl")),
    ],
};

/// Products, and what cannot be ruled out by them.
pub(crate) static PRODUCTS: Kernel = Kernel {
    entry: "exact_products",
    params: ProductsParams::FIELDS,
    parts: &[
        Part::Products,
        ORDER,
        LIMIT,
        Part::Text(include_str!("../exact_products.wgsl")),
    ],
};

/// What was put down looked through.
pub(crate) static SETTLE: Kernel = Kernel {
    entry: "exact_settle",
    params: SettleParams::FIELDS,
    parts: &[
        ORDER,
        LIMIT,
        Part::Text(include_str!("../exact_settle.wgsl")),
        SORT,
    ],
};

/// Every kernel of exact search by products.
pub(crate) static ALL: [&Kernel; 3] = [&HALVES, &PRODUCTS, &SETTLE];

/// Queries and rows of a tile.
pub(crate) const TILE: u32 = 128;
/// Rows that are put down for a query at most.
pub(crate) const CAPACITY: u32 = 512;
/// The limit of a query whose answer is not proven is below this, all others are above.
pub(crate) const GIVEN_UP: f32 = -3.2e38;

/// How matrices are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrices {
    /// Rows and columns of each.
    pub(crate) block: u32,
    /// By what.
    pub(crate) by: Multiplier,
}

/// What multiplies matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplier {
    /// The device's instructions for it.
    Instructions,
    /// Others, so that all else can be tested on any device.
    #[cfg(test)]
    Imitated,
    /// Others, and one product in a tile is off by one.
    #[cfg(test)]
    Wrong,
}

impl Multiplier {
    pub(crate) fn is_instructions(self) -> bool {
        self == Self::Instructions
    }

    #[cfg(test)]
    fn is_wrong(self) -> bool {
        self == Self::Wrong
    }

    #[cfg(not(test))]
    fn is_wrong(self) -> bool {
        false
    }
}

/// Blocks of `block` numbers in a row of `parts` vec4.
pub(crate) fn depths(parts: u32, block: u32) -> u32 {
    (4 * parts).div_ceil(block)
}

/// The constants of the kernels for rows of `parts` vec4; whether the rows are `listed`, are queries, are looked through for the last time.
pub(crate) fn constants(
    parts: u32,
    Matrices { block, by }: Matrices,
    listed: bool,
    asked: bool,
    last: bool,
) -> Vec<(&'static str, Constant)> {
    vec![
        ("BLOCK", Constant::Number(block)),
        ("IMITATED", Constant::Flag(!by.is_instructions())),
        ("WRONG", Constant::Flag(by.is_wrong())),
        ("DEPTHS", Constant::Number(depths(parts, block))),
        ("CAPACITY", Constant::Number(CAPACITY)),
        ("KEEP", Constant::Number(CAPACITY / 2)),
        ("LISTED", Constant::Flag(listed)),
        ("ASKED", Constant::Flag(asked)),
        ("LAST", Constant::Flag(last)),
    ]
}

/// What has to stand before everything else in a text with products.
pub(crate) const ENABLE: &str = "enable f16;\nenable wgpu_cooperative_matrix;\n";

/// Queries and rows that a subgroup multiplies.
const ACROSS: [u32; 2] = [32, 64];
/// And of which it looks at the products at a time.
const AT_ONCE: [u32; 2] = [16, 32];

/// The bindings of the halves, where a thread stands, and `multiply(subgroup, lane, first_query, first_row)`: all products of a subgroup, offered.
/// Written out, so that every sum stays in registers whatever a compiler makes of arrays of matrices.
pub(crate) fn multiply(block: u32) -> String {
    let mut text = String::from(include_str!("../products_matrices.wgsl"));
    text.push_str(BEGIN);
    let [queries, rows] = ACROSS.map(|across| across / block);
    let matrix = |number: &str, role: char| format!("coop_mat{block}x{block}<{number}, {role}>");
    let area = block * block;
    // Writing to a string does not fail.
    for query in 0..queries {
        for row in 0..rows {
            let of = matrix("f32", 'C');
            let _ = writeln!(text, "    var sum_{query}_{row}: {of};");
        }
    }
    for (name, first, count) in [
        ("query", "first_query", queries),
        ("row", "first_row", rows),
    ] {
        for at in 0..count {
            let _ = writeln!(
                text,
                "    let {name}_{at} = ({first} / {block}u + {at}u) * DEPTHS * {area}u;"
            );
        }
    }
    let _ = writeln!(
        text,
        "    for (var depth = 0u; depth < DEPTHS * {area}u; depth += {area}u) {{"
    );
    for query in 0..queries {
        let of = matrix("f16", 'A');
        let _ = writeln!(
            text,
            "        let a_{query} = coopLoadT<{of}>(&query_halves[query_{query} + depth], {block}u);"
        );
    }
    for row in 0..rows {
        let of = matrix("f16", 'B');
        let _ = writeln!(
            text,
            "        let b_{row} = coopLoad<{of}>(&row_halves[row_{row} + depth], {block}u);"
        );
    }
    for query in 0..queries {
        for row in 0..rows {
            let sum = format!("sum_{query}_{row}");
            let _ = writeln!(
                text,
                "        {sum} = coopMultiplyAdd(a_{query}, b_{row}, {sum});"
            );
        }
    }
    text.push_str("    }\n    let mine = subgroup * 16u * PITCH;\n");
    offers(&mut text, |text, first_query, first_row| {
        for query in (0..AT_ONCE[0]).step_by(block as usize) {
            for row in (0..AT_ONCE[1]).step_by(block as usize) {
                let sum = [(first_query + query) / block, (first_row + row) / block];
                let [sum_query, sum_row] = sum;
                let _ = writeln!(
                    text,
                    "    coopStoreT(sum_{sum_query}_{sum_row}, &products[mine + {query}u * PITCH + {row}u], PITCH);"
                );
            }
        }
    });
    text
}

/// The same without instructions for it, so that all else can be tested on any device.
#[cfg(test)]
pub(crate) fn imitate() -> String {
    let mut text = String::from(include_str!("../products_imitated.wgsl"));
    text.push_str(BEGIN);
    offers(&mut text, |text, first_query, first_row| {
        let _ = writeln!(
            text,
            "    imitate(subgroup, lane, first_query + {first_query}u, first_row + {first_row}u + lane);"
        );
    });
    text
}

const BEGIN: &str = "fn multiply(subgroup: u32, lane: u32, first_query: u32, first_row: u32) {\n";

/// Products laid down by `put`, which is told of which queries and rows, and offered, some after the others.
fn offers(text: &mut String, put: impl Fn(&mut String, u32, u32)) {
    for query in (0..ACROSS[0]).step_by(AT_ONCE[0] as usize) {
        for row in (0..ACROSS[1]).step_by(AT_ONCE[1] as usize) {
            put(text, query, row);
            let _ = writeln!(
                text,
                "    workgroupBarrier();\n    offer(subgroup, lane, first_query + {query}u, first_row + {row}u + lane);\n    workgroupBarrier();"
            );
        }
    }
    text.push_str("}\n");
}
