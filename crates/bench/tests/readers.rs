//! Files of vectors: read right, or refused in one line.
#![allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests compare exact values of small data"
)]

use std::path::{Path, PathBuf};

use half::f16;
use proptest::prelude::*;
use tempfile::TempDir;
use vectorizer_bench::{DataError, IdTable, Matrix, truth};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn entries(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A file as NumPy writes it, for the version given.
fn npy_version(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
    let wide = version > 1;
    let before = if wide { 12 } else { 10 };
    let length = (before + header.len() + 1).next_multiple_of(64) - before;
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if wide {
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(format!("{header:<width$}\n", width = length - 1).as_bytes());
    bytes.extend(numbers);
    bytes
}

fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    npy_version(1, &header, numbers)
}

fn all(path: &Path) -> Result<Vec<f32>, DataError> {
    let matrix = Matrix::open(path)?;
    let mut rows = Vec::new();
    matrix.read(0..matrix.rows(), &mut rows)?;
    Ok(rows)
}

fn refused(path: &Path, words: &str) {
    let error = all(path).unwrap_err().to_string();
    assert!(error.contains(words), "{error:?} does not say {words:?}");
    assert!(error.starts_with(&path.display().to_string()), "{error:?}");
    assert_eq!(error.lines().count(), 1, "{error:?}");
}

fn le<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.into_iter().flatten().collect()
}

#[test]
fn numpy_s_own_bytes() {
    // numpy.save(f, numpy.array([[1.5, -2, 3]], numpy.float32)), NumPy 2.
    let mut bytes =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }"
            .to_vec();
    bytes.resize(127, b' ');
    bytes.extend(b"\n\x00\x00\xc0?\x00\x00\x00\xc0\x00\x00@@");
    let folder = Folder::new();
    assert_eq!(
        all(&folder.file("a.npy", &bytes)).unwrap(),
        [1.5, -2.0, 3.0]
    );
}

#[test]
fn every_type_and_version() {
    let folder = Folder::new();
    let wanted = [0.0, 1.0, 2.0, 3.0, 100.0, 5.0];
    let files = [
        ("<f4", le(wanted.map(f32::to_le_bytes))),
        ("<f2", le(wanted.map(|x| f16::from_f32(x).to_le_bytes()))),
        ("|u1", le(wanted.map(|x| [x as u8]))),
        ("|i1", le(wanted.map(|x| (x as i8).to_le_bytes()))),
    ];
    for (descr, numbers) in &files {
        for version in 1..=3 {
            let header =
                format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 3), }}");
            let path = folder.file("x.npy", &npy_version(version, &header, numbers));
            let matrix = Matrix::open(&path).unwrap();
            assert_eq!((matrix.rows(), matrix.dimension()), (2, 3));
            assert_eq!(all(&path).unwrap(), wanted, "{descr} {version}");
            let mut row = Vec::new();
            matrix.read_exact(1, &mut row).unwrap();
            assert_eq!(row, [3.0, 100.0, 5.0]);
            let mut part = vec![9.0; 50];
            matrix.read(1..2, &mut part).unwrap();
            assert_eq!(part, wanted[3..]);
        }
    }
    // The extremes of the small types.
    let path = folder.file("x.npy", &npy("|i1", "(1, 2)", &[0x80, 0x7f]));
    assert_eq!(all(&path).unwrap(), [-128.0, 127.0]);
    let path = folder.file("x.npy", &npy("|u1", "(1, 2)", &[0, 255]));
    assert_eq!(all(&path).unwrap(), [0.0, 255.0]);
}

#[test]
fn other_spellings_of_the_header() {
    let folder = Folder::new();
    for header in [
        r#"{"shape": (2, 1), "fortran_order": False, "descr": "|u1"}"#,
        "{'descr':'<u1','fortran_order':False,'shape':(2L,1L)}",
        "  {  'shape' : ( 2 , 1 , ) , 'fortran_order' : True , 'descr' : '|u1' , }  ",
    ] {
        let path = folder.file("x.npy", &npy_version(1, header, &[7, 9]));
        assert_eq!(all(&path).unwrap(), [7.0, 9.0], "{header}");
    }
}

#[test]
fn wrong_npy_files() {
    let folder = Folder::new();
    let cases: &[(Vec<u8>, &str)] = &[
        (vec![], "is empty"),
        (b"PK\x03\x04 and more".to_vec(), "is not a .npy file"),
        (b"\x93NUM".to_vec(), "too short"),
        (b"\x93NUMPY\x04\x00\x00\x00".to_vec(), "version"),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(),
            "longer than 10,000",
        ),
        (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "longer than 10,000"),
        (
            b"\x93NUMPY\x01\x00\x10\x00{".to_vec(),
            "truncated in its .npy header",
        ),
        (b"\x93NUMPY\x01\x00\x01\x00\xff".to_vec(), "not text"),
        (npy_version(1, &"(".repeat(9_000), &[]), "no '{'"),
        (
            npy_version(1, &format!("{{'shape': {}", "(".repeat(9_000)), &[]),
            "not a tuple",
        ),
        (
            npy_version(
                1,
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                &[],
            ),
            "plain number type",
        ),
        (
            npy_version(
                1,
                "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
                &[],
            ),
            "neither True nor False",
        ),
        (
            npy_version(1, "{'descr': '<f4', 'fortran_order': False}", &[]),
            "missing",
        ),
        (
            npy_version(
                1,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)} or so",
                &[],
            ),
            "after the '}'",
        ),
        (
            npy_version(
                1,
                "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}",
                &[0; 16],
            ),
            "column by column",
        ),
        (npy("<f8", "(1, 1)", &[0; 8]), "type '<f8'"),
        (npy("<i2", "(1, 1)", &[0; 2]), "int16"),
        (npy("<i8", "(1, 1)", &[0; 8]), "int64"),
        (npy("|b1", "(1, 1)", &[0]), "'|b1'"),
        (npy("|O", "(1, 1)", &[0]), "'|O'"),
        (npy(">f4", "(1, 1)", &[0; 4]), "'>f4'"),
        (npy("<f4", "()", &[0; 4]), "two dimensions"),
        (npy("<f4", "(3,)", &[0; 12]), "(3); expected two dimensions"),
        (npy("<f4", "(1, 1, 1)", &[0; 4]), "two dimensions"),
        (npy("<f4", "(0, 3)", &[]), "no numbers"),
        (npy("<f4", "(3, 0)", &[]), "no numbers"),
        (npy("<f4", "(-1, 3)", &[]), "not a tuple of sizes"),
        (
            npy("<f4", "(99999999999999999999999, 3)", &[]),
            "not a tuple of sizes",
        ),
        (
            npy("<f4", "(4294967296, 4294967296)", &[]),
            "impossible shape",
        ),
        (
            npy("<f4", "(4611686018427387904, 1)", &[]),
            "impossible shape",
        ),
        (
            npy("<f4", "(2, 2)", &[0; 15]),
            "truncated: (2, 2) of float32 take 16 bytes, the file has 15",
        ),
        (npy("<f4", "(2, 2)", &[0; 17]), "is broken"),
    ];
    for (bytes, words) in cases {
        refused(&folder.file("x.npy", bytes), words);
    }
    refused(&folder.file("x.txt", b"1 2 3"), "unknown kind");
    refused(&folder.0.path().join("none.npy"), "no such file");
    std::fs::create_dir(folder.0.path().join("d.npy")).unwrap();
    refused(&folder.0.path().join("d.npy"), "is a folder");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", folder.0.path().join("z.npy")).unwrap();
        refused(&folder.0.path().join("z.npy"), "not a regular file");
    }
}

#[test]
fn cut_anywhere_a_file_is_refused() {
    let folder = Folder::new();
    let whole = npy("<f4", "(2, 3)", &[0; 24]);
    assert!(all(&folder.file("x.npy", &whole)).is_ok());
    for length in 0..whole.len() {
        let path = folder.file("x.npy", &whole[..length]);
        let error = all(&path).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{length}: {error}");
    }
    let whole = vecs(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]]);
    assert!(all(&folder.file("x.fvecs", &whole)).is_ok());
    for length in (0..whole.len()).filter(|length| *length != 16) {
        let path = folder.file("x.fvecs", &whole[..length]);
        assert!(all(&path).is_err(), "{length}");
    }
}

#[test]
fn numbers_that_are_none_are_named() {
    let folder = Folder::new();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let numbers = le([1.0, 2.0, 3.0, value].map(f32::to_le_bytes));
        let path = folder.file("x.npy", &npy("<f4", "(2, 2)", &numbers));
        refused(&path, "component 1 of row 1");
    }
    let numbers = le([f16::INFINITY.to_le_bytes()]);
    refused(
        &folder.file("x.npy", &npy("<f2", "(1, 1)", &numbers)),
        "component 0 of row 0 is inf",
    );
}

fn vecs(rows: &[&[f32]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend((row.len() as i32).to_le_bytes());
        bytes.extend(le(row.iter().map(|x| x.to_le_bytes())));
    }
    bytes
}

#[test]
fn fvecs_and_bvecs() {
    let folder = Folder::new();
    let path = folder.file("x.fvecs", &vecs(&[&[1.0, -2.5], &[3.0, 4.0]]));
    assert_eq!(all(&path).unwrap(), [1.0, -2.5, 3.0, 4.0]);
    let path = folder.file("x.BVECS", &[3, 0, 0, 0, 1, 2, 255, 3, 0, 0, 0, 4, 5, 6]);
    assert_eq!(all(&path).unwrap(), [1.0, 2.0, 255.0, 4.0, 5.0, 6.0]);
    // Each row of another length, of the same size in all.
    refused(
        &folder.file("x.bvecs", &[2, 0, 0, 0, 1, 2, 3, 0, 0, 0, 4, 5]),
        "row 1 announces 3",
    );
    refused(&folder.file("x.fvecs", &0i32.to_le_bytes()), "announces 0");
    refused(
        &folder.file("x.fvecs", &(-1i32).to_le_bytes()),
        "announces -1",
    );
    refused(
        &folder.file("x.fvecs", &i32::MAX.to_le_bytes()),
        "truncated",
    );
    refused(&folder.file("x.fvecs", &[1, 0]), "truncated");
    refused(&folder.file("x.ivecs", &[1, 0, 0, 0, 7, 0, 0, 0]), "int32");
}

#[test]
fn blocks_cover_all_rows_once() {
    let matrix = Matrix::from_rows("made up", vec![0.0; 33 * 7], 7).unwrap();
    for bytes in [0, 1, 28, 29, 280, 1 << 20] {
        let mut next = 0;
        for block in matrix.blocks(bytes) {
            assert_eq!(block.start, next);
            assert!(block.len() == 1 || block.len() * 28 <= bytes);
            next = block.end;
        }
        assert_eq!(next, 33);
    }
    assert!(Matrix::from_rows("made up", vec![0.0; 5], 2).is_err());
    assert!(Matrix::from_rows("made up", vec![], 2).is_err());
}

#[test]
fn truth_of_every_integer_type() {
    let folder = Folder::new();
    let rows: [i64; 6] = [3, 1, 2, 0, 4, 1];
    let types: [(&str, usize); 8] = [
        ("|i1", 1),
        ("|u1", 1),
        ("<i2", 2),
        ("<u2", 2),
        ("<i4", 4),
        ("<u4", 4),
        ("<i8", 8),
        ("<u8", 8),
    ];
    for (descr, size) in types {
        let numbers: Vec<u8> = rows
            .iter()
            .flat_map(|row| row.to_le_bytes()[..size].to_vec())
            .collect();
        let path = folder.file("t.npy", &npy(descr, "(2, 3)", &numbers));
        let truth = truth::read(&path, 2, 2, 5).unwrap();
        assert_eq!(
            (truth.width(), truth.of(0), truth.of(1)),
            (2, &[3, 1][..], &[0, 4][..]),
            "{descr}"
        );
        // Beyond a base of three rows, nothing more is needed; but then 3 and 4 are no rows.
        let error = truth::read(&path, 2, 9, 3).unwrap_err().to_string();
        assert!(
            error.contains("the true neighbour 3; rows are numbered 0 to 2"),
            "{error}"
        );
    }
    let ivecs: Vec<u8> = [2, 1, 0, 2, 0, 2]
        .iter()
        .flat_map(|x: &i32| x.to_le_bytes())
        .collect();
    let truth = truth::read(&folder.file("t.ivecs", &ivecs), 2, 2, 3).unwrap();
    assert_eq!((truth.of(0), truth.of(1)), (&[1, 0][..], &[0, 2][..]));
}

#[test]
fn wrong_truth() {
    let folder = Folder::new();
    let refused = |bytes: &[u8], queries, k, base, words: &str| {
        let path = folder.file("t.npy", bytes);
        let error = truth::read(&path, queries, k, base)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    let small = npy("|u1", "(2, 2)", &[0, 1, 2, 3]);
    refused(&small, 3, 2, 4, "2 rows, but there are 3 queries");
    refused(&small, 2, 3, 4, "2 true neighbours a query; 3 are needed");
    refused(&small, 2, 2, 3, "neighbour 3");
    refused(&npy("|u1", "(1, 2)", &[1, 1]), 1, 2, 4, "row 1 twice");
    refused(&npy("|i1", "(1, 1)", &[0xff]), 1, 1, 4, "neighbour -1");
    refused(
        &npy("<u8", "(1, 1)", &[0xff; 8]),
        1,
        1,
        4,
        "neighbour 18446744073709551615",
    );
    refused(
        &npy("<f4", "(1, 1)", &[0; 4]),
        1,
        1,
        4,
        "float32 numbers; ground truth is row numbers",
    );
    // What lies beyond k is not looked at.
    let path = folder.file("t.npy", &npy("|i1", "(1, 2)", &[1, 0xff]));
    assert!(truth::read(&path, 1, 1, 4).is_ok());
}

#[test]
fn ids_are_written_whole_or_not_at_all() {
    let folder = Folder::new();
    let mut ids = IdTable::new(2);
    ids.push([5, 0]);
    ids.push([7]);
    let path = folder.0.path().join("ids.npy");
    ids.write(&path).unwrap();
    ids.write(&path).unwrap();
    assert_eq!(folder.entries(), ["ids.npy"]);
    // What NumPy writes for numpy.array([[5, 0], [7, -1]]).
    assert_eq!(
        std::fs::read(&path).unwrap(),
        npy("<i8", "(2, 2)", &le([5i64, 0, 7, -1].map(i64::to_le_bytes)))
    );
    let truth = truth::read(&path, 2, 1, 8).unwrap();
    assert_eq!((truth.of(0), truth.of(1)), (&[5][..], &[7][..]));

    for wrong in ["ids.txt", "none/ids.npy"] {
        assert!(ids.write(&folder.0.path().join(wrong)).is_err());
    }
    std::fs::create_dir(folder.0.path().join("d.npy")).unwrap();
    assert!(ids.write(&folder.0.path().join("d.npy")).is_err());
    assert_eq!(folder.entries(), ["d.npy", "ids.npy"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o400, 0o400);
        let plain = folder.file("plain", b"");
        let plain = std::fs::metadata(plain).unwrap().permissions().mode();
        assert_eq!(mode, plain, "as readable as any other new file");
    }
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(rows in 1usize..40, dimension in 1usize..40, seed in any::<u64>(), step in 1usize..50) {
        let folder = Folder::new();
        let numbers: Vec<f32> = (0..rows * dimension)
            .map(|i| (seed.wrapping_mul(i as u64 + 1) >> 40) as f32 - 8e6)
            .collect();
        let bytes = npy("<f4", &format!("({rows}, {dimension})"), &le(numbers.iter().map(|x| x.to_le_bytes())));
        let split: Vec<&[f32]> = numbers.chunks(dimension).collect();
        for path in [folder.file("x.npy", &bytes), folder.file("x.fvecs", &vecs(&split))] {
            let matrix = Matrix::open(&path).unwrap();
            prop_assert_eq!((matrix.rows(), matrix.dimension()), (rows, dimension));
            let (mut read, mut block) = (Vec::new(), Vec::new());
            for range in matrix.blocks(step * 4 * dimension) {
                matrix.read(range, &mut block).unwrap();
                read.extend_from_slice(&block);
            }
            prop_assert_eq!(&read, &numbers);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let folder = Folder::new();
        let mut file = if magic { b"\x93NUMPY\x01\x00\x20\x00".to_vec() } else { Vec::new() };
        file.extend(&bytes);
        for name in ["x.npy", "x.fvecs", "x.bvecs", "x.ivecs"] {
            let path = folder.file(name, &file);
            drop(all(&path));
            drop(truth::read(&path, 1, 1, 100));
        }
    }

    #[test]
    fn a_changed_header_is_read_or_refused(at in 0usize..128, value in any::<u8>()) {
        let folder = Folder::new();
        let mut bytes = npy("<f4", "(2, 3)", &[0; 24]);
        bytes[at] = value;
        drop(all(&folder.file("x.npy", &bytes)));
    }
}
