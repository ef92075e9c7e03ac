//! Files of hnswlib's, with the graph.

use vectorizer::interop::hnswlib;

use super::*;

/// The vectors of the files in `fixtures`, which hnswlib 0.8.0 wrote: 300 of 8 components, labels 1, 4, 7...
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn fixture_rows() -> Vec<f32> {
    (0..300)
        .flat_map(|i| (0..8).map(move |j| ((i * 7 + j * j * 13 + i * i % 17) % 31) as f32))
        .collect()
}

fn fixture(metric: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(format!("hnswlib-{metric}.bin"))
}

#[test]
fn a_file_that_hnswlib_wrote_is_searched_by_its_graph() {
    for (name, metric) in [
        ("l2", DistanceMetric::Euclidean),
        ("cosine", DistanceMetric::Cosine),
    ] {
        let path = fixture(name);
        let header = hnswlib::Header::open(&path).unwrap();
        assert_eq!(
            (
                header.count,
                header.dimension,
                header.max_connections,
                header.ef_construction
            ),
            (300, 8, 5, 60)
        );
        let collection = empty(8, metric, header.max_connections);
        let imported = hnswlib::import(&collection, &path, None, go).unwrap();
        // Labels 31 to 118 of the first were marked as deleted.
        let dead = if name == "l2" { 30 } else { 0 };
        assert_eq!((imported.vectors, imported.graph), (300 - dead, true));
        assert_eq!(collection.vector_count(), 300 - dead);
        collection.check().unwrap();
        let rows = fixture_rows();
        let got = collection.get_vector("1").unwrap().data;
        if name == "l2" {
            assert_eq!(got, rows[..8]);
            assert!(!collection.contains("31") && collection.contains("121"));
        }
        let options = SearchOptions {
            path: SearchPath::Graph,
            ef: Some(100),
            ..SearchOptions::default()
        };
        let (mut found, mut wanted) = (0, 0);
        for query in random_rows(11, 50, 8).chunks_exact(8) {
            let query: Vec<f32> = query.iter().map(|x| 15.0 + 15.0 * x).collect();
            let truth = exact(metric, &rows, &query);
            let alive = truth
                .iter()
                .filter(|(_, n)| dead == 0 || !(10..40).contains(n));
            let far = alive.clone().nth(9).unwrap().0;
            let hits = collection.search_with(&query, 10, &options).unwrap();
            wanted += 10;
            found += hits
                .iter()
                .filter(|hit| f64::from(hit.distance) <= far + 1e-4)
                .count();
            for hit in &hits {
                let label: usize = hit.id.parse().unwrap();
                assert!(
                    label % 3 == 1 && (dead == 0 || !(31..=118).contains(&label)),
                    "{label}"
                );
            }
        }
        assert!(found * 100 >= wanted * 95, "{name}: {found} of {wanted}");
    }
}

/// A file of hnswlib's as whoever knows the format alone reads it.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *bytes
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn links(&mut self, degree: u64) -> (Vec<u32>, u8) {
        let [low, high, flags, zero] = self.bytes();
        assert_eq!(zero, 0);
        let count = usize::from(u16::from_le_bytes([low, high]));
        let mut links: Vec<u32> = (0..degree).map(|_| self.u32()).collect();
        links.truncate(count);
        (links, flags)
    }
}

#[test]
fn what_goes_out_is_laid_out_as_hnswlib_lays_it_out() {
    let (count, dimension) = (2000usize, 6);
    let rows = random_rows(3, count, dimension);
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        let collection = empty(dimension, metric, 7);
        let ids: Vec<String> = (0..count).map(|i| (i * 10).to_string()).collect();
        collection.add_rows(&ids, &rows).unwrap();
        collection.delete_batch(&["30", "500"]).unwrap();
        let path = folder.path().join("index.bin");
        let exported = hnswlib::export(&collection, &path, go).unwrap();
        assert_eq!((exported.vectors, exported.ids), (count - 2, None));

        let bytes = fs::read(&path).unwrap();
        let mut file = Reader(&bytes);
        let (links_0, element) = (4 + 4 * 14, 4 + 4 * 14 + 24 + 8);
        // Deleted vectors were taken out of the graph before.
        assert_eq!([file.u64(), file.u64(), file.u64()], [0, 1998, 1998]);
        assert_eq!(
            [file.u64(), file.u64(), file.u64()],
            [element, links_0 + 24, links_0]
        );
        let (top, entry) = (file.u32(), file.u32());
        assert_eq!([file.u64(), file.u64(), file.u64()], [7, 14, 7]);
        let mult = f64::from_bits(file.u64());
        assert!((mult - 1.0 / 16f64.ln()).abs() < 1e-6, "{mult}");
        assert_eq!(file.u64(), 200);
        assert_eq!(bytes.len() - file.0.len(), 96);
        let mut reached = vec![Vec::new(); count - 2];
        let left = rows.chunks_exact(dimension).zip(0u64..);
        let left = left.filter(|(_, place)| ![3, 50].contains(place));
        for (slot, (row, place)) in left.enumerate() {
            let (links, flags) = file.links(14);
            assert!(
                links
                    .iter()
                    .all(|to| (*to as usize) < count && *to as usize != slot)
            );
            reached[slot] = links;
            let vector: Vec<f32> = (0..dimension).map(|_| f32::from_bits(file.u32())).collect();
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            let scale = if metric == DistanceMetric::Cosine {
                length
            } else {
                1.0
            };
            for (ours, theirs) in row.iter().zip(&vector) {
                assert!(
                    (ours / scale - theirs).abs() < 1e-6,
                    "{slot}: {row:?} {vector:?}"
                );
            }
            let label = file.u64();
            assert_eq!((flags, label), (0, place * 10));
        }
        let mut highest = 0;
        for slot in 0..count - 2 {
            let length = file.u32();
            assert_eq!(length % 32, 0);
            let level = length / 32;
            highest = highest.max(level);
            assert!(slot != entry as usize || level == top);
            for _ in 0..level {
                let (links, flags) = file.links(7);
                assert!(flags == 0 && links.iter().all(|to| (*to as usize) < count));
            }
        }
        assert!(file.0.is_empty() && highest == top && top > 0);
        // From the entry point on, all can be reached.
        let mut seen = vec![false; count - 2];
        let mut open = vec![entry];
        while let Some(slot) = open.pop() {
            if !std::mem::replace(&mut seen[slot as usize], true) {
                open.extend(&reached[slot as usize]);
            }
        }
        assert!(seen.iter().all(|seen| *seen));

        let back = empty(dimension, metric, 7);
        let imported = hnswlib::import(&back, &path, None, go).unwrap();
        assert_eq!((imported.vectors, imported.graph), (count - 2, true));
        let options = SearchOptions {
            path: SearchPath::Graph,
            ..SearchOptions::default()
        };
        for query in random_rows(4, 20, dimension).chunks_exact(dimension) {
            let ours = collection.search_with(query, 5, &options).unwrap();
            let theirs = back.search_with(query, 5, &options).unwrap();
            let ids =
                |hits: &[SearchResult]| hits.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&ours), ids(&theirs), "{metric}");
        }
    }
}

#[test]
fn names_go_into_a_file_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.bin");
    let collection = empty(2, DistanceMetric::Euclidean, 4);
    let ids = ["a", "7", "é, x", "07"];
    collection
        .add_rows(&ids, &[0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0])
        .unwrap();
    collection.delete("7").unwrap();
    let exported = hnswlib::export(&collection, &path, go).unwrap();
    assert_eq!(exported.ids.as_deref(), Some(ids_beside(&path).as_path()));
    assert_eq!(
        fs::read_to_string(ids_beside(&path)).unwrap(),
        "a\né, x\n07\n"
    );
    // Another M: the vectors come, and are linked anew.
    for (m, graph) in [(4, true), (5, false)] {
        let back = empty(2, DistanceMetric::Euclidean, m);
        let imported = hnswlib::import(&back, &path, exported.ids.as_deref(), go).unwrap();
        assert_eq!((imported.vectors, imported.graph), (3, graph));
        assert_eq!(back.search(&[1.9, 0.0], 1).unwrap()[0].id, "é, x");
        assert_eq!(back.get_vector("07").unwrap().data, [3.0, 0.0]);
    }
    collection
        .upsert_vector(vector("new\nline", &[4.0, 0.0], None))
        .unwrap();
    let error = hnswlib::export(&collection, &path, go).unwrap_err();
    assert!(error.to_string().contains("line break"), "{error}");
}

#[test]
fn broken_files_of_hnswlibs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.bin");
    let whole = fs::read(fixture("l2")).unwrap();
    let import = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let collection = empty(8, DistanceMetric::Euclidean, 5);
        let imported = hnswlib::import(&collection, &path, None, go);
        (imported, collection)
    };
    for cut in (0..200).chain((200..whole.len()).step_by(701)) {
        let (imported, collection) = import(&whole[..cut]);
        assert!(
            matches!(imported, Err(VectorizerError::FileRefused { .. })),
            "{cut}: {imported:?}"
        );
        assert_eq!(collection.stats().graph.count, 0, "nothing of it is in");
    }
    // After a broken file the whole one goes through.
    let (_, collection) = import(&whole[..whole.len() - 1]);
    let imported = hnswlib::import(&collection, fixture("l2"), None, go).unwrap();
    assert_eq!((imported.vectors, imported.graph), (270, true));
    for more in [&[0][..], &[1; 700]] {
        let (imported, collection) = import(&[&whole, more].concat());
        assert!(matches!(imported, Err(VectorizerError::FileRefused { .. })));
        assert_eq!(collection.vector_count(), 0);
    }
    let mut random = fastrand::Rng::with_seed(2);
    let places = (0..96).chain((0..300).map(|_| random.usize(..whole.len())));
    for place in places.collect::<Vec<_>>() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << random.u8(..8);
        // What is no error is a collection that keeps its rules.
        let (imported, collection) = import(&bytes);
        if imported.is_ok() {
            collection.check().unwrap();
            assert_eq!(collection.search(&[1.0; 8], 3).unwrap().len(), 3);
        } else {
            assert_eq!(collection.vector_count(), 0, "{place}: {imported:?}");
        }
    }
    let collection = empty(9, DistanceMetric::Euclidean, 5);
    let error = hnswlib::import(&collection, fixture("l2"), None, go).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("8 components; the collection's have 9"),
        "{error}"
    );
    let error = hnswlib::Header::open(folder.path().join("none")).unwrap_err();
    assert!(matches!(error, VectorizerError::FileFailed { .. }));
}

#[test]
fn nothing_that_a_file_marks_as_deleted_comes_in() {
    // With the file's graph, and linked anew.
    for m in [5, 6] {
        let folder = tempfile::tempdir().unwrap();
        let hnsw = HnswConfig {
            max_connections: m,
            ..HnswConfig::default()
        };
        let options = CollectionOptions {
            hnsw,
            ..CollectionOptions::default()
        };
        let metric = DistanceMetric::Euclidean;
        let path = folder.path().join("collection");
        let durability = vectorizer::store::Durability::EveryBatch;
        let context = Context::cpu();
        let collection =
            Collection::create_with(&path, &context, 8, metric, options, durability).unwrap();
        // At no moment: a killed import leaves what is there now.
        let mut most = 0;
        let look = |moved: Moved| {
            most = most.max(collection.vector_count());
            assert!(collection.vector_count() <= moved.done);
            ControlFlow::Continue(())
        };
        let imported = hnswlib::import(&collection, fixture("l2"), None, look).unwrap();
        assert_eq!((imported.vectors, imported.graph), (270, m == 5));
        assert_eq!(most, 270);
        let stats = collection.stats();
        assert_eq!((stats.vector_count, stats.dead_slots), (270, 0));
        assert_eq!(stats.graph.linked, 270);
        for vector in all(&collection) {
            let label: u64 = vector.id.parse().unwrap();
            assert!(!(31..=118).contains(&label), "{label}");
        }
    }
}

#[test]
fn what_is_there_is_refused_or_replaced_and_keeps_its_payload() {
    let collection = empty(8, DistanceMetric::Euclidean, 5);
    let mine = vector("121", &[9.0; 8], Some(json!({"mine": true})));
    collection.add_vector(mine.clone()).unwrap();
    let refused = hnswlib::import(&collection, fixture("l2"), None, go);
    let id = "121".to_owned();
    assert_eq!(refused, Err(VectorizerError::DuplicateId { id }));
    assert_eq!(all(&collection), std::slice::from_ref(&mine));
    for _ in 0..2 {
        let existing = interop::Existing::Replace;
        let path = fixture("l2");
        let imported = hnswlib::import_with(&collection, path, None, existing, go).unwrap();
        assert_eq!((imported.vectors, imported.graph), (270, false));
        assert_eq!(collection.vector_count(), 270);
        let now = collection.get_vector("121").unwrap();
        assert_eq!(now.data, fixture_rows()[40 * 8..41 * 8]);
        assert_eq!(now.payload, mine.payload);
    }
}

#[test]
fn a_file_of_ids_has_to_name_each_label_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.bin");
    let collection = empty(2, DistanceMetric::Euclidean, 4);
    let rows = [0.0, 0.0, 1.0, 0.0, 2.0, 0.0];
    collection.add_rows(&["a", "b", "c"], &rows).unwrap();
    hnswlib::export(&collection, &path, go).unwrap();
    let ids = folder.path().join("ids");
    for (text, words) in [
        (&b"a\nb\n"[..], "label 2 has no line"),
        (b"a\n\nb\n", "has 0 bytes"),
        (b"a\nb\na\n", "for two labels"),
        (b"a\n\xff\nb\n", "byte 2 is not UTF-8"),
    ] {
        fs::write(&ids, text).unwrap();
        let back = empty(2, DistanceMetric::Euclidean, 4);
        let error = hnswlib::import(&back, &path, Some(&ids), go).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(back.vector_count(), 0);
    }
    fs::write(&ids, b"\xef\xbb\xbfa\r\nb\r\nc").unwrap();
    let back = empty(2, DistanceMetric::Euclidean, 4);
    hnswlib::import(&back, &path, Some(&ids), go).unwrap();
    assert!(["a", "b", "c"].iter().all(|id| back.contains(id)));
}

/// hnswlib knows of no copies: to it, each of them has links.
#[test]
fn copies_go_out_as_vectors_that_can_be_reached() {
    let (count, dimension) = (2000usize, 6);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.bin");
    let reals = random_rows(5, count, dimension);
    let of = |at: usize| &reals[at * dimension..][..dimension];
    let worlds: [(&str, Vec<f32>); 3] = [
        ("one", vec![0.5; count * dimension]),
        (
            "half",
            (0..count)
                .flat_map(|at| of(at * (at % 2)))
                .copied()
                .collect(),
        ),
        (
            "fifty of each",
            (0..count).flat_map(|at| of(at % 40)).copied().collect(),
        ),
    ];
    for (name, rows) in worlds {
        for metric in METRICS {
            let collection = empty(dimension, metric, 7);
            let ids: Vec<String> = (0..count).map(|at| at.to_string()).collect();
            collection.add_rows(&ids, &rows).unwrap();
            hnswlib::export(&collection, &path, go).unwrap();
            // Whoever adds nothing later has the graph that the file has, in which everything is reached by links alone.
            let back = empty(dimension, metric, 7);
            let imported = hnswlib::import(&back, &path, None, go).unwrap();
            assert_eq!((imported.vectors, imported.graph), (count, true), "{name}");
            back.check().unwrap();
            let bytes = fs::read(&path).unwrap();
            let mut file = Reader(&bytes[96..]);
            let mut reached = Vec::new();
            for _ in 0..count {
                let (links, _) = file.links(14);
                assert!(!links.is_empty(), "{name} {metric}");
                reached.push(links);
                for _ in 0..dimension + 2 {
                    file.u32();
                }
            }
            let entry = u32::from_le_bytes(bytes[52..56].try_into().unwrap());
            let mut seen = vec![false; count];
            let mut open = vec![entry];
            while let Some(slot) = open.pop() {
                if !std::mem::replace(&mut seen[slot as usize], true) {
                    open.extend(&reached[slot as usize]);
                }
            }
            assert!(seen.iter().all(|seen| *seen), "{name} {metric}");
        }
    }
}
