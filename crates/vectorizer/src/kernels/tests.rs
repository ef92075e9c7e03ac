//! Every kernel in every used specialisation, through the compilers of all three platforms, without a GPU.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use crate::config::Precision;
use crate::engine::Scoring;
use crate::engine::code;
use crate::gpu::device::DeviceKind;
use crate::gpu::tiers::Tier;
use crate::gpu::tuning::Tuning;
use crate::kernels::exact::products::{Matrices, Multiplier};
use crate::kernels::graph::{self, GraphShape};
use crate::kernels::{Constant, RowsShape, Specialised, exact, lanes, seal};

/// The smallest workgroup memory of a device we run on.
const WORKGROUP_BYTES: u32 = 16 << 10;
/// What a device with more of it has; kernels that need it say so by a constant.
const LARGE_WORKGROUP_BYTES: u32 = 32 << 10;

/// Kernels as the engine specialises them.
fn every_used() -> Vec<Specialised> {
    let mut all = Vec::new();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        for subgroups in [false, true] {
            for parts in [1, 2, 7, 32, 196, 384, 512, 513, 16_384] {
                for capacity in [32, 64, 128, 256, 512] {
                    let rows = RowsShape {
                        parts,
                        form: Precision::F32,
                        chunks: 1,
                        chunk_shift: 15,
                    };
                    for kernel in exact::ALL {
                        for (depth, listed) in [(2, false), (4, false), (4, true)] {
                            let constants =
                                exact::constants(kernel, parts, capacity, depth, listed);
                            all.push(Specialised {
                                kernel,
                                rows,
                                scoring,
                                subgroups,
                                constants,
                            });
                        }
                    }
                }
            }
        }
    }
    all.extend(graph_kernels());
    all.extend(coded_walks());
    all.extend(products());
    all.push(Specialised {
        kernel: &seal::SEAL,
        rows: RowsShape {
            parts: 1,
            form: Precision::F32,
            chunks: 1,
            chunk_shift: 0,
        },
        scoring: Scoring::NegativeDot,
        subgroups: false,
        constants: Vec::new(),
    });
    all.extend([64, 128, 256].map(lanes::specialised));
    let mut seen = hashbrown::HashSet::new();
    all.retain(|kernel| seen.insert((kernel.kernel.entry, kernel.source())));
    all
}

/// What a device has of which nothing is remembered.
fn usual() -> Tuning {
    Tuning::default_for(&Tier::cpu(), DeviceKind::Discrete)
}

/// The default, and all walks with the fewest threads and with the most that can be chosen.
fn walk_threads() -> [Tuning; 3] {
    let all = |threads| Tuning {
        walk_threads: threads,
        wide_walk_threads: threads,
        few_walk_threads: threads,
        ..usual()
    };
    [usual(), all(64), all(256)]
}

/// Exact search by products, in the blocks that devices have.
fn products() -> Vec<Specialised> {
    let mut all = Vec::new();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        for (parts, block, by) in [1, 7, 196, 16_384].into_iter().flat_map(|parts| {
            [
                (parts, 8, Multiplier::Instructions),
                (parts, 16, Multiplier::Instructions),
                (parts, 16, Multiplier::Imitated),
            ]
        }) {
            for [listed, asked, last] in [
                [false; 3],
                [true, false, false],
                [false, true, false],
                [false, false, true],
            ] {
                all.extend(exact::products::ALL.map(|kernel| Specialised {
                    kernel,
                    rows: RowsShape {
                        parts,
                        form: Precision::F32,
                        chunks: 1,
                        chunk_shift: 15,
                    },
                    scoring,
                    subgroups: true,
                    constants: exact::products::constants(
                        parts,
                        Matrices { block, by },
                        listed,
                        asked,
                        last,
                    ),
                }));
            }
        }
    }
    all
}

/// Of a kernel that multiplies matrices, the size of these.
fn block(kernel: &Specialised) -> Option<u32> {
    kernel.multiplies().then(|| kernel.number("BLOCK"))
}

/// The graph's kernels as the engine specialises them.
fn graph_kernels() -> Vec<Specialised> {
    let mut all = Vec::new();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        for subgroups in [false, true] {
            for (parts, chunks, link_chunks) in
                [(1, 1, 1), (32, 1, 1), (196, 4, 2), (512, 1, 1), (513, 2, 3)]
            {
                for ((degree, ef), tuning) in [
                    (4, 1),
                    (32, 64),
                    (32, 200),
                    (64, 512),
                    (128, 256),
                    (128, 1024),
                ]
                .into_iter()
                .flat_map(|beam| walk_threads().map(|tuning| (beam, tuning)))
                {
                    let shape = GraphShape {
                        degree,
                        link_chunks,
                        link_shift: 20,
                        parts,
                        subgroups,
                        few: ef == 64,
                        tuning,
                    };
                    all.extend(graph::ALL.into_iter().map(|kernel| Specialised {
                        kernel,
                        rows: RowsShape {
                            parts,
                            form: Precision::F32,
                            chunks,
                            chunk_shift: 15,
                        },
                        scoring,
                        subgroups,
                        constants: graph::constants(kernel, shape, ef),
                    }));
                }
            }
        }
    }
    all
}

/// Walks by small forms of rows, as the engine specialises them.
fn coded_walks() -> Vec<Specialised> {
    let mut all = Vec::new();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        for (subgroups, few) in [(false, false), (true, true)] {
            for (form, components) in [Precision::F16, Precision::Int8]
                .into_iter()
                .flat_map(|form| [1, 17, 784, 4096, 65_536].map(|components| (form, components)))
            {
                for (degree, ef, chunks) in [(4, 1, 1), (32, 64, 3), (128, 1024, 1)] {
                    let units = u32::try_from(code::units(form, components)).unwrap();
                    let shape = GraphShape {
                        degree,
                        link_chunks: chunks,
                        link_shift: 20,
                        parts: match form {
                            Precision::F16 => 2 * (units - 1),
                            _ => units,
                        },
                        subgroups,
                        few,
                        tuning: usual(),
                    };
                    let walks = [&graph::WALK_EXTERNAL, &graph::WALK_AMONG];
                    all.extend(walks.map(|kernel| {
                        let mut constants = graph::constants(kernel, shape, ef);
                        let components = u32::try_from(components).unwrap();
                        constants.push(("COMPONENTS", Constant::Number(components)));
                        Specialised {
                            kernel,
                            rows: RowsShape {
                                parts: units,
                                form,
                                chunks,
                                chunk_shift: 15,
                            },
                            scoring,
                            subgroups,
                            constants,
                        }
                    }));
                }
            }
        }
    }
    all
}

fn parse(kernel: &Specialised) -> (naga::Module, ModuleInfo) {
    let text = kernel.source();
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{}: {}", kernel.kernel.entry, error.emit_to_string(&text)));
    // Every backend of wgpu that we run on has the second: half floats that are read into floats.
    let mut capabilities = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if kernel.multiplies() {
        capabilities |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", kernel.kernel.entry, error.emit_to_string(&text)));
    (module, info)
}

fn workgroup_memory(module: &naga::Module) -> (usize, u32) {
    let variables: Vec<_> = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
        .collect();
    let bytes = variables
        .iter()
        .map(|(_, variable)| {
            module.types[variable.ty]
                .inner
                .size(module.to_ctx())
                .next_multiple_of(16)
        })
        .sum();
    (variables.len(), bytes)
}

#[test]
fn kernels_keep_to_what_every_device_can_do() {
    for kernel in every_used() {
        let (module, _) = parse(&kernel);
        let entry = module
            .entry_points
            .iter()
            .find(|entry| entry.name == kernel.kernel.entry)
            .unwrap_or_else(|| panic!("{} has no entry point", kernel.kernel.entry));
        let [x, y, z] = entry.workgroup_size;
        let threads = x * y * z;
        assert!(
            threads >= 64 && threads.is_multiple_of(32) && threads <= 256,
            "{}: {threads} threads",
            entry.name
        );
        let (variables, bytes) = workgroup_memory(&module);
        assert!(
            variables <= 31,
            "{}: {variables} workgroup variables",
            entry.name
        );
        let large = kernel.constants.iter().any(|(name, constant)| {
            matches!((*name, constant), ("DEPTH", Constant::Number(4)))
                || matches!((*name, constant), ("QUEUE", Constant::Number(257..)))
        }) || kernel.kernel == &exact::products::PRODUCTS;
        let limit = if large {
            LARGE_WORKGROUP_BYTES
        } else {
            WORKGROUP_BYTES
        };
        assert!(
            bytes <= limit,
            "{}: {bytes} bytes of workgroup memory",
            entry.name
        );
        for (_, literal) in module
            .global_expressions
            .iter()
            .chain(
                module
                    .functions
                    .iter()
                    .flat_map(|(_, f)| f.expressions.iter()),
            )
            .chain(entry.function.expressions.iter())
        {
            if let naga::Expression::Literal(naga::Literal::F32(number)) = literal {
                assert!(number.is_finite(), "{}: {number}", entry.name);
            }
        }
        let text = kernel.source();
        assert!(!text.contains("workgroupUniformLoad"), "{}", entry.name);
    }
}

#[test]
fn kernels_become_metal() {
    // Apple's matrices are of 8 x 8.
    let all = every_used()
        .into_iter()
        .filter(|kernel| block(kernel) != Some(16));
    for kernel in all {
        let (module, info) = parse(&kernel);
        let unchecked = naga::proc::BoundsCheckPolicies {
            index: naga::proc::BoundsCheckPolicy::Unchecked,
            buffer: naga::proc::BoundsCheckPolicy::Unchecked,
            ..Default::default()
        };
        let options = msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            bounds_check_policies: unchecked,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let (text, _) =
            msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
                .unwrap_or_else(|error| panic!("{}: {error}", kernel.kernel.entry));
        let entry = kernel.kernel.entry;
        assert!(text.contains("kernel void"), "{entry}: no kernel");
        for word in [
            "INFINITY",
            "NAN",
            "nan(",
            "as_type<float>(0x7f800000",
            "loop_bound",
            "unpack_min",
        ] {
            assert!(
                !text.contains(word),
                "{entry}: {word} in its Metal text:\n{text}"
            );
        }
        assert!(
            !text.contains("__local_invocation_id == metal::uint3(0u)"),
            "{entry}: zeroed by one thread"
        );
    }
}

#[test]
fn kernels_become_spirv() {
    for kernel in every_used() {
        let (module, info) = parse(&kernel);
        let options = spv::Options {
            lang_version: (1, 3),
            ..Default::default()
        };
        spv::write_vec(&module, &info, &options, None)
            .unwrap_or_else(|error| panic!("{}: {error}", kernel.kernel.entry));
    }
}

#[test]
fn kernels_become_hlsl() {
    // Direct3D 12 has no matrices, as wgpu sees it.
    let all = every_used()
        .into_iter()
        .filter(|kernel| !kernel.multiplies());
    for kernel in all {
        let (module, info) = parse(&kernel);
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            fake_missing_bindings: true,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions::default();
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|error| panic!("{}: {error}", kernel.kernel.entry));
    }
}

#[test]
fn parameters_have_the_size_their_kernels_expect() {
    for kernel in every_used() {
        let (module, _) = parse(&kernel);
        let (_, params) = module
            .global_variables
            .iter()
            .find(|(_, variable)| variable.space == naga::AddressSpace::Uniform)
            .unwrap_or_else(|| panic!("{} has no parameters", kernel.kernel.entry));
        let naga::TypeInner::Struct { members, span } = &module.types[params.ty].inner else {
            panic!("{}: parameters are no struct", kernel.kernel.entry);
        };
        let names: Vec<_> = members
            .iter()
            .filter_map(|member| member.name.as_deref())
            .collect();
        assert_eq!(names, kernel.kernel.params, "{}", kernel.kernel.entry);
        assert_eq!(*span as usize, 4 * names.len(), "{}", kernel.kernel.entry);
    }
}

#[test]
fn rows_in_several_chunks_are_found_by_shift_and_mask() {
    let rows = RowsShape {
        parts: 2,
        form: Precision::F32,
        chunks: 3,
        chunk_shift: 4,
    };
    let kernel = Specialised {
        rows,
        kernel: &exact::RESCORE,
        scoring: Scoring::SquaredEuclidean,
        subgroups: true,
        constants: exact::constants(&exact::RESCORE, 2, 32, 2, false),
    };
    let (module, _) = parse(&kernel);
    let chunks = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.binding.is_some_and(|binding| binding.group == 1))
        .count();
    assert_eq!(chunks, 3);
}
