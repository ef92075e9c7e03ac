//! The forms of the TEXMEX sets: each row with its length before it.

use super::*;

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
