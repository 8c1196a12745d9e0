//! What the FITS standard allows in a file and no program of ours writes: undefined pixels and cells, scaled and wide numbers.

#![allow(clippy::unwrap_used)]

use datamodel::fits::{FitsReader, FitsWriter};
use datamodel::{ColumnData, Header, Table};
use std::path::Path;

/// An HDU of these cards and data, padded to blocks.
fn hdu(cards: &[&str], data: &[u8], fill: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = cards.iter().chain(&["END"]).flat_map(|c| format!("{c:<80}").into_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(2880), b' ');
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(2880), fill);
    bytes
}

fn image(bitpix: &str, more: &[&str], data: &[u8]) -> Vec<u8> {
    let first =
        ["SIMPLE  =                    T", bitpix, "NAXIS   =                    1", "NAXIS1  =                    3"];
    hdu(&[&first[..], more].concat(), data, 0)
}

fn read(path: &Path, bytes: &[u8]) -> FitsReader {
    std::fs::write(path, bytes).unwrap();
    FitsReader::open(path).unwrap()
}

#[test]
fn undefined_and_scaled_pixels_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.fits");
    let shorts: Vec<u8> = [4i16, -99, -3].iter().flat_map(|x| x.to_be_bytes()).collect();
    let scaled = ["BSCALE  =                  0.5", "BZERO   =                 10.0", "BLANK   =                  -99"];
    for (cards, expected) in [(&scaled[..], [12.0, 8.5]), (&scaled[2..], [4.0, -3.0])] {
        let mut file = read(&path, &image("BITPIX  =                   16", cards, &shorts));
        let (single, double) = (file.image_f32("0").unwrap(), file.image_f64("0").unwrap());
        assert_eq!([double[0], double[2]], expected);
        assert_eq!([single[0], single[2]], expected.map(|x| x as f32));
        assert!(single[1].is_nan() && double[1].is_nan());
    }
    // a mask is no number: its bits stay what they are
    let mut file = read(&path, &image("BITPIX  =                   16", &[], &shorts));
    assert_eq!(file.image_u32("0").unwrap()[0], 4);
}

#[test]
fn numbers_too_large_for_single_precision_are_infinite() {
    let folder = tempfile::tempdir().unwrap();
    let doubles: Vec<u8> = [1.5f64, 1e300, f64::NEG_INFINITY].iter().flat_map(|x| x.to_be_bytes()).collect();
    let mut file = read(&folder.path().join("image.fits"), &image("BITPIX  =                  -64", &[], &doubles));
    assert_eq!(file.image_f32("0").unwrap().as_slice().unwrap(), [1.5, f32::INFINITY, f32::NEG_INFINITY]);
}

#[test]
fn cells_without_a_value_are_no_numbers_once_scaled() {
    let folder = tempfile::tempdir().unwrap();
    let primary = hdu(
        &["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0"],
        &[],
        0,
    );
    let cards = [
        "XTENSION= 'BINTABLE'",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
        "NAXIS1  =                    4",
        "NAXIS2  =                    2",
        "PCOUNT  =                    0",
        "GCOUNT  =                    1",
        "TFIELDS =                    2",
        "TTYPE1  = 'SCALED  '",
        "TFORM1  = 'I       '",
        "TSCAL1  =                 0.25",
        "TNULL1  =                   -1",
        "TTYPE2  = 'COUNT   '",
        "TFORM2  = 'I       '",
        "TNULL2  =                   -1",
        "EXTNAME = 'T       '",
    ];
    let rows: Vec<u8> = [8i16, 7, -1, -1].iter().flat_map(|x| x.to_be_bytes()).collect();
    let bytes = [primary, hdu(&cards, &rows, 0)].concat();
    let table = read(&folder.path().join("table.fits"), &bytes).table("T").unwrap();
    let scaled = table.floats("SCALED").unwrap();
    assert!(scaled[0] == 2.0 && scaled[1].is_nan());
    assert_eq!(table.ints("COUNT").unwrap(), [7, -1]);
}

/// Text that FITS has no letters for is written as such that it has, and a long name of a column survives.
#[test]
fn text_is_ascii_whatever_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.fits");
    let name = "A_NAME_OF_MORE_LETTERS_THAN_A_CARD_HAS_".repeat(3);
    let mut table = Table::new();
    let values = ["Müller", "naïve"].map(String::from).to_vec();
    table.set(&name, "\u{b5}m", ColumnData::Str { width: 4, values });
    table.set("LAST", "", ColumnData::I32(vec![1, 2]));
    let mut fits = FitsWriter::create(&path).unwrap();
    fits.table("T", &table, &Header::new()).unwrap();
    fits.finish().unwrap();
    assert!(std::fs::read(&path).unwrap()[2880..].iter().all(|b| b.is_ascii()));
    let back = FitsReader::open(&path).unwrap().table("T").unwrap();
    assert_eq!(back.strings(&name).unwrap(), ["M?ller", "na?ve"]);
    assert_eq!(back.ints("LAST").unwrap(), [1, 2]);
}
