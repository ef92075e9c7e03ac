//! Ground truth, and the ids of what was found.

use super::*;

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
