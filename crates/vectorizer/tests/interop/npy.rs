//! Rows for NumPy, and as .fvecs.

use vectorizer::interop::npy;

use super::*;

#[test]
fn rows_go_out_as_numpy_and_as_fvecs() {
    let folder = tempfile::tempdir().unwrap();
    let collection = empty(3, DistanceMetric::Cosine, 16);
    collection
        .add_rows(
            &["a", "b", "c"],
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.5],
        )
        .unwrap();
    collection.delete("b").unwrap();
    let numbers: Vec<u8> = [1.0f32, 2.0, 3.0, 7.0, 8.0, 9.5]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let path = folder.path().join("rows.npy");
    assert_eq!(npy::export(&collection, &path, Form::Npy, go).unwrap(), 2);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let header = String::from_utf8(bytes[10..128].to_vec()).unwrap();
    assert_eq!(
        header.trim_end(),
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    );
    assert!(header.ends_with('\n'));
    assert_eq!(bytes[128..], numbers);
    assert_eq!(fs::read_to_string(ids_beside(&path)).unwrap(), "a\nc\n");
    let path = folder.path().join("rows.fvecs");
    assert_eq!(npy::export(&collection, &path, Form::Fvecs, go).unwrap(), 2);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 32);
    assert_eq!(
        (&bytes[..4], &bytes[4..16]),
        (&[3, 0, 0, 0][..], &numbers[..12])
    );
    assert_eq!(
        (&bytes[16..20], &bytes[20..]),
        (&[3, 0, 0, 0][..], &numbers[12..])
    );
}
