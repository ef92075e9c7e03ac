//! The kernels of the graph: walks, and what links a batch of new slots.

use std::fmt::Write;

use crate::gpu::tuning::Tuning;
use crate::kernels::{Constant, Kernel, ORDER, Part, QUERY, QUERY_SLOT, SCORE};

pub(crate) mod near;

/// The sorted queue.
pub(crate) const QUEUE: Part = Part::Text(include_str!("queue.wgsl"));
/// The table of visited slots.
pub(crate) const VISITED: Part = Part::Text(include_str!("visited.wgsl"));
const WALK: Part = Part::Text(include_str!("walk.wgsl"));
const CHOOSE: Part = Part::Text(include_str!("choose.wgsl"));
const WORK: Part = Part::Text(include_str!("work.wgsl"));

params! {
    /// Of all walks.
    WalkParams { queries, entry, entry_level, level, ef, k, slots, epoch, first, approach, hops, least, seeds }
    /// Of [`SCORE_AGAIN`].
    AgainParams { queries, first, width, k }
    /// Of [`SELECT`].
    SelectParams { members, first, walked, walked_at, near, near_at, keep, own, fill, degree, target_count_at }
    /// Of [`TAKE_SEGMENTS`] and [`PLACE_EDGES`].
    GroupParams { members, degree, target_count_at, stride }
    /// Of [`LINK`].
    LinkParams { level, first, members, batch_first, own, fill, degree, target_count_at }
    /// Of [`RECONNECT`].
    ReconnectParams { members, first, level, degree, keep }
    /// Of [`REACH`].
    ReachParams { slots, start, level, degree, ring, stride }
    /// Of [`WRITE_MEMBERS`] and [`WRITE_TARGETS`].
    WriteParams { level, members, degree, target_count_at, stride }
}

/// Walks for queries from outside.
pub(crate) static WALK_EXTERNAL: Kernel = Kernel {
    entry: "walk_external",
    params: WalkParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Links,
        Part::Team,
        Part::Asked,
        QUEUE,
        VISITED,
        WALK,
        Part::Text(include_str!("walk_external.wgsl")),
    ],
};

/// Walks for queries from outside where only some slots may be found.
pub(crate) static WALK_AMONG: Kernel = Kernel {
    entry: "walk_among",
    params: WalkParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Links,
        Part::Team,
        Part::Asked,
        QUEUE,
        VISITED,
        WALK,
        Part::Text(include_str!("walk_among.wgsl")),
    ],
};

/// What walks by a small form of the rows found, scored by the rows.
pub(crate) static SCORE_AGAIN: Kernel = Kernel {
    entry: "score_again",
    params: AgainParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Team,
        Part::Asked,
        Part::Text(include_str!("score_again.wgsl")),
    ],
};

/// Walks for slots that are being linked.
pub(crate) static WALK_SLOTS: Kernel = Kernel {
    entry: "walk_slots",
    params: WalkParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Links,
        Part::Team,
        SCORE,
        QUERY_SLOT,
        QUERY,
        QUEUE,
        VISITED,
        WALK,
        WORK,
        Part::Text(include_str!("walk_slots.wgsl")),
    ],
};

/// The choice of new slots' links.
pub(crate) static SELECT: Kernel = Kernel {
    entry: "choose_links",
    params: SelectParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Team,
        SCORE,
        QUEUE,
        CHOOSE,
        WORK,
        Part::Text(include_str!("select.wgsl")),
    ],
};

/// A place for the edges of each target.
pub(crate) static TAKE_SEGMENTS: Kernel = Kernel {
    entry: "take_segments",
    params: GroupParams::FIELDS,
    parts: &[ORDER, Part::Text(include_str!("group.wgsl"))],
};

/// Edges to their places.
pub(crate) static PLACE_EDGES: Kernel = Kernel {
    entry: "place_edges",
    params: GroupParams::FIELDS,
    parts: &[ORDER, Part::Text(include_str!("group.wgsl"))],
};

/// Targets' new rows.
pub(crate) static LINK: Kernel = Kernel {
    entry: "link",
    params: LinkParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Links,
        Part::Team,
        SCORE,
        QUEUE,
        CHOOSE,
        WORK,
        Part::Text(include_str!("link.wgsl")),
    ],
};

/// New slots' rows made visible.
pub(crate) static WRITE_MEMBERS: Kernel = Kernel {
    entry: "write_members",
    params: WriteParams::FIELDS,
    parts: &[Part::LinksToWrite, Part::Text(include_str!("write.wgsl"))],
};

/// Targets' rows made visible.
pub(crate) static WRITE_TARGETS: Kernel = Kernel {
    entry: "write_targets",
    params: WriteParams::FIELDS,
    parts: &[Part::LinksToWrite, Part::Text(include_str!("write.wgsl"))],
};

/// Rows of links without the dead.
pub(crate) static RECONNECT: Kernel = Kernel {
    entry: "reconnect",
    params: ReconnectParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Links,
        Part::Team,
        SCORE,
        QUEUE,
        VISITED,
        CHOOSE,
        WORK,
        Part::Text(include_str!("reconnect.wgsl")),
    ],
};

/// A ring of what links lead to.
pub(crate) static REACH: Kernel = Kernel {
    entry: "reach",
    params: ReachParams::FIELDS,
    parts: &[Part::LinksAlone, Part::Text(include_str!("reach.wgsl"))],
};

/// Every kernel of the graph.
pub(crate) static ALL: [&Kernel; 14] = [
    &WALK_EXTERNAL,
    &WALK_AMONG,
    &SCORE_AGAIN,
    &WALK_SLOTS,
    &near::SCORE,
    &near::TOP,
    &SELECT,
    &TAKE_SEGMENTS,
    &PLACE_EDGES,
    &LINK,
    &WRITE_MEMBERS,
    &WRITE_TARGETS,
    &RECONNECT,
    &REACH,
];

/// The widest beam of a kernel.
pub(crate) const MAX_BEAM: usize = 1024;
/// The widest beam of a kernel that needs no more than [`LIGHT`].
pub(crate) const LIGHT_BEAM: usize = 256;
/// Workgroup memory up to which enough walks run side by side, and which every device has.
pub(crate) const LIGHT: u32 = 16 << 10;
/// The largest query, in vec4, that is kept in workgroup memory.
const SHARED_PARTS: u32 = 512;
/// Threads that score what one walk found.
const SCORING_THREADS: u32 = 128;
/// Sources of a target that are considered.
const SOURCES: u32 = 128;

/// What the kernels of a graph are specialised by, beside rows and scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GraphShape {
    /// Links of a slot on level 0.
    pub(crate) degree: u32,
    /// Buffers of them.
    pub(crate) link_chunks: u32,
    /// A buffer holds two to the power of this many rows of links.
    pub(crate) link_shift: u32,
    /// vec4 in a query.
    pub(crate) parts: u32,
    /// Whether lanes exchange values.
    pub(crate) subgroups: bool,
    /// Whether walks are few, so that each may take many threads: answers are the same, sooner.
    pub(crate) few: bool,
    /// How many threads walks take.
    pub(crate) tuning: Tuning,
}

/// The constants of `kernel` for lists of up to `ef` neighbours.
pub(crate) fn constants(
    kernel: &Kernel,
    shape: GraphShape,
    ef: usize,
) -> Vec<(&'static str, Constant)> {
    let room = u32::try_from(ef.next_power_of_two().clamp(32, MAX_BEAM)).unwrap_or(u32::MAX);
    let links = [
        ("DEGREE", Constant::Number(shape.degree)),
        ("LINK_CHUNKS", Constant::Number(shape.link_chunks)),
        ("LINK_SHIFT", Constant::Number(shape.link_shift)),
    ];
    if kernel == &WRITE_MEMBERS || kernel == &WRITE_TARGETS || kernel == &REACH {
        return links.to_vec();
    }
    if kernel == &near::SCORE || kernel == &TAKE_SEGMENTS || kernel == &PLACE_EDGES {
        return Vec::new();
    }
    if kernel == &SCORE_AGAIN {
        let lists = 8 * room + 4 * SCORING_THREADS + 256;
        let shared = shape.parts <= SHARED_PARTS && lists + 16 * shape.parts <= LIGHT;
        return vec![
            ("THREADS", Constant::Number(SCORING_THREADS)),
            ("WIDTH", Constant::Number(room)),
            ("QUERY_SHARED", Constant::Flag(shared)),
            (
                "QUERY_PARTS",
                Constant::Number(if shared { shape.parts } else { 1 }),
            ),
        ];
    }
    let among = kernel == &WALK_AMONG;
    let walks = among || kernel == &WALK_EXTERNAL || kernel == &WALK_SLOTS;
    let (threads, fresh, queue) = if among {
        // Links of several slots are followed at a time.
        let threads = if shape.few { 256 } else { 128 };
        (threads, threads, room)
    } else if walks {
        // Long rows and wide queues are worth more threads a walk; else more walks side by side are worth more.
        let more = shape.degree > 64 || shape.parts >= 64 || room >= 128;
        let threads = match (shape.few, more) {
            (true, _) => shape.tuning.few_walk_threads,
            (false, true) => shape.tuning.wide_walk_threads,
            (false, false) => shape.tuning.walk_threads,
        };
        // A slot's links are read at once, each by a thread.
        let threads = threads.max(shape.degree.next_power_of_two());
        (threads, shape.degree, room)
    } else if kernel == &LINK {
        (128, 128, SOURCES + shape.degree)
    } else {
        (128, 128, room)
    };
    let mut all = vec![
        ("THREADS", Constant::Number(threads)),
        ("QUEUE", Constant::Number(queue)),
        ("FRESH", Constant::Number(fresh)),
    ];
    if kernel != &near::TOP {
        all.extend(links);
    }
    if walks {
        let lanes = if shape.subgroups { 0 } else { threads };
        let rows = if among { 8 * shape.degree + 256 } else { 0 };
        let lists = 8 * queue + 12 * fresh + rows + 4 * lanes + 256;
        // A reset leaves the queue in the table, and room for what comes next up to three quarters.
        let least = ((queue + fresh) * 4 / 3 + 1).next_power_of_two();
        // Wide beams need what every device has beyond the least that WebGPU promises.
        let limit = if queue as usize > LIGHT_BEAM {
            2 * LIGHT
        } else {
            LIGHT
        };
        let shared = shape.parts <= SHARED_PARTS && lists + 16 * shape.parts + 4 * least <= limit;
        let query = if shared { shape.parts } else { 1 };
        let visited = visited_room(queue, least, shape.few, limit - lists - 16 * query);
        all.extend([
            ("MET", Constant::Number(fresh)),
            ("QUERY_SHARED", Constant::Flag(shared)),
            ("QUERY_PARTS", Constant::Number(query)),
            ("VISITED", Constant::Number(visited)),
            ("VISITED_BITS", Constant::Number(visited.ilog2())),
        ]);
    }
    if kernel == &RECONNECT {
        // A reset leaves the queue, the slot itself and its living links in the table, and room for the links of one slot.
        let visited = ((queue + 2 * shape.degree + 1) * 4 / 3 + 1).next_power_of_two();
        all.extend([
            ("VISITED", Constant::Number(visited)),
            ("VISITED_BITS", Constant::Number(visited.ilog2())),
        ]);
    }
    all
}

/// Places of a walk's table of visited slots. Where walks are many, a small table that is reset more often is worth less than
/// the walks that run beside it (on an H200, 1M x 128 at ef 64: 512 places 3.2M walks/s, 1024 2.7M, 2048 2.1M); where they are few,
/// it holds what a walk usually meets.
fn visited_room(queue: u32, least: u32, few: bool, bytes: u32) -> u32 {
    if !few {
        return (8 * queue).clamp(512, 1024).max(least);
    }
    let mut room = (32 * queue).clamp(512, 4096).max(least);
    while room > least && 4 * room > bytes {
        room /= 2;
    }
    room
}

/// `link_at` or `set_link` over the chunks of links, bound in `group`. One chunk costs no branch.
pub(super) fn links(chunks: u32, group: u32, write: bool) -> String {
    let access = if write { "read_write" } else { "read" };
    let mut text = format!(
        "@group({group}) @binding(0) var<storage, read> upper_base: array<u32>;\n\
         @group({group}) @binding(1) var<storage, {access}> upper: array<u32>;\n"
    );
    for chunk in 0..chunks {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "@group({group}) @binding({}) var<storage, {access}> links_{chunk}: array<u32>;",
            chunk + 2
        );
    }
    let statement = |place: String| {
        if write {
            format!("{place} = value;")
        } else {
            format!("return {place};")
        }
    };
    text.push_str(if write {
        "fn set_link(level: u32, slot: u32, place: u32, value: u32) {\n    if level > 0u {\n        "
    } else {
        "fn link_at(level: u32, slot: u32, place: u32) -> u32 {\n    if level > 0u {\n        "
    });
    text += &statement("upper[(upper_base[slot] + level - 1u) * (DEGREE / 2u) + place]".to_owned());
    text.push_str(if write {
        "\n        return;\n    }\n"
    } else {
        "\n    }\n"
    });
    if chunks == 1 {
        let _ = writeln!(
            text,
            "    {}\n}}",
            statement("links_0[slot * DEGREE + place]".to_owned())
        );
        return text;
    }
    text.push_str(
        "    let at = (slot & ((1u << LINK_SHIFT) - 1u)) * DEGREE + place;\n    switch slot >> LINK_SHIFT {\n",
    );
    for chunk in 1..chunks {
        let _ = writeln!(
            text,
            "        case {chunk}u: {{ {} }}",
            statement(format!("links_{chunk}[at]"))
        );
    }
    let _ = writeln!(
        text,
        "        default: {{ {} }}\n    }}\n}}",
        statement("links_0[at]".to_owned())
    );
    text
}
