//! Files that change while they are read, and files that hold nothing.

use vectorizer_bench::IdFile;

use super::*;

fn cut(path: &Path, length: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.unwrap().set_len(length).unwrap();
}

fn shorter(error: &DataError) -> bool {
    let text = error.to_string();
    text.contains("became shorter") && text.lines().count() == 1
}

#[test]
fn a_file_that_is_cut_off_while_it_is_read_is_an_error() {
    let folder = Folder::new();
    // Longer than what is read at a time, and than a page.
    let (rows, dimension) = (40_000usize, 16);
    let numbers = le((0..rows * dimension).map(|number| (number as f32).to_le_bytes()));
    let row: Vec<f32> = vec![1.0; dimension];
    let split: Vec<&[f32]> = (0..rows).map(|_| &row[..]).collect();
    let header = format!("({rows}, {dimension})");
    for path in [
        folder.file("x.npy", &npy("<f4", &header, &numbers)),
        folder.file("x.fvecs", &vecs(&split)),
    ] {
        let matrix = Matrix::open(&path).unwrap();
        let (mut block, mut exact) = (Vec::new(), Vec::new());
        matrix.read(0..10, &mut block).unwrap();
        for length in [rows as u64 * 40, 1000, 0] {
            cut(&path, length);
            assert!(shorter(&matrix.read(0..rows, &mut block).unwrap_err()));
            assert!(shorter(
                &matrix.read_exact(rows - 1, &mut exact).unwrap_err()
            ));
        }
    }
    let ids = le((0..rows as i64).map(i64::to_le_bytes));
    let path = folder.file("ids.npy", &npy("<i8", &format!("({rows},)"), &ids));
    let mut numbers = IdFile::open(&path).unwrap();
    assert_eq!(numbers.read(2).unwrap(), ["0", "1"]);
    cut(&path, 200);
    assert!(shorter(&numbers.read(rows).unwrap_err()));
    let text: String = (0..rows).map(|number| format!("id{number}\n")).collect();
    let path = folder.file("ids.txt", text.as_bytes());
    let mut lines = IdFile::open(&path).unwrap();
    assert_eq!(lines.read(2).unwrap(), ["id0", "id1"]);
    cut(&path, 0);
    assert!(shorter(&lines.read(rows).unwrap_err()));
}

#[test]
fn a_byte_order_mark_is_passed_over_where_a_file_begins() {
    let folder = Folder::new();
    let ids = |bytes: &[u8]| {
        let mut file = IdFile::open(folder.file("ids.txt", bytes)).unwrap();
        file.read(file.count()).unwrap()
    };
    assert_eq!(ids(b"\xef\xbb\xbfa\r\nb\r\n"), ["a", "b"]);
    assert_eq!(ids(b"\xef\xbb\xbfa"), ["a"]);
    assert_eq!(ids(b"\xef\xbb\xbf"), [""; 0]);
    // Elsewhere it is a character like others.
    assert_eq!(ids("a\n\u{feff}b\n".as_bytes()), ["a", "\u{feff}b"]);
}

#[test]
fn files_without_rows_are_opened_where_that_is_asked_for() {
    let folder = Folder::new();
    let numpy = folder.file("x.npy", &npy("<f4", "(0, 7)", &[]));
    let vecs = folder.file("x.fvecs", &[]);
    for (path, dimension) in [(&numpy, 7), (&vecs, 0)] {
        let matrix = Matrix::open_with_or_without_rows(path).unwrap();
        assert_eq!((matrix.rows(), matrix.dimension()), (0, dimension));
        assert!(matrix.fits(7) && matrix.fits(3) == (dimension == 0));
        assert_eq!(matrix.blocks(100).count(), 0);
        let mut rows = vec![1.0];
        matrix.read(0..0, &mut rows).unwrap();
        assert!(rows.is_empty());
        refused(path, "is empty");
    }
    for none in ["(0, 0)", "(3, 0)"] {
        let path = folder.file("none.npy", &npy("<f4", none, &[]));
        assert!(Matrix::open_with_or_without_rows(path).is_err(), "{none}");
    }
    let ids = folder.file("ids.txt", &[]);
    assert_eq!(IdFile::open(ids).unwrap().count(), 0);
    let ids = folder.file("ids.npy", &npy("<i8", "(0,)", &[]));
    assert_eq!(IdFile::open(ids).unwrap().count(), 0);
}
