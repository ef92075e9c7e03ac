//! Vectors as NumPy writes them.

use super::*;

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
