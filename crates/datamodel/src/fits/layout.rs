//! The cards that say what the data of a new HDU are, with the comments that cfitsio gives them.

use super::Pixel;
use super::card::{record, structural, structurals};

/// Of an image of this shape (C order); without data if it has no axis.
pub(super) fn image<T: Pixel>(shape: &[usize], primary: bool) -> Vec<String> {
    let mut cards = vec![match primary {
        true => structural("SIMPLE", true, "file does conform to FITS standard"),
        false => structural("XTENSION", "IMAGE", "IMAGE extension"),
    }];
    let empty = shape.is_empty();
    cards.push(structural("BITPIX", if empty { 8 } else { T::BITPIX }, "number of bits per data pixel"));
    cards.push(structural("NAXIS", shape.len(), "number of data axes"));
    for (i, &n) in (1..).zip(shape.iter().rev()) {
        cards.push(structural(&format!("NAXIS{i}"), n, &format!("length of data axis {i}")));
    }
    if primary {
        cards.push(structural("EXTEND", true, "FITS dataset may contain extensions"));
        let reference = [
            "COMMENT   FITS (Flexible Image Transport System) format is defined in 'Astronomy",
            "COMMENT   and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H ",
        ];
        cards.extend(reference.map(String::from));
    } else {
        cards.push(structural("PCOUNT", 0, "required keyword; must = 0"));
        cards.push(structural("GCOUNT", 1, "required keyword; must = 1"));
    }
    if let Some((zero, name)) = T::ZERO.filter(|_| !empty) {
        cards.push(structural("BZERO", zero, &format!("offset data range to that of unsigned {name}")));
        cards.push(structural("BSCALE", 1, "default scaling factor"));
    }
    cards
}

/// A column of a table: TTYPE, TFORM, TUNIT and, where a cell has more than one dimension, TDIM.
pub(super) struct Field {
    pub name: String,
    pub form: String,
    pub unit: String,
    pub dimensions: Option<String>,
}

/// Of a binary table.
pub(super) fn table(width: usize, nrows: usize, fields: &[Field]) -> Vec<String> {
    let mut cards = vec![
        structural("XTENSION", "BINTABLE", "binary table extension"),
        structural("BITPIX", 8, "8-bit bytes"),
        structural("NAXIS", 2, "2-dimensional binary table"),
        structural("NAXIS1", width, "width of table in bytes"),
        structural("NAXIS2", nrows, "number of rows in table"),
        structural("PCOUNT", 0, "size of special data area"),
        structural("GCOUNT", 1, "one data group (required keyword)"),
        structural("TFIELDS", fields.len(), "number of fields in each row"),
    ];
    let mut put = |key: String, value: &str, comment: &str| {
        if !value.is_empty() {
            cards.extend(structurals(&key, value, comment));
        }
    };
    for (i, field) in (1..).zip(fields) {
        put(format!("TTYPE{i}"), &field.name, &format!("label for field {i:3}"));
        put(format!("TFORM{i}"), &field.form, &format!("data format of field: {}", meaning(&field.form)));
        put(format!("TUNIT{i}"), &field.unit, "physical unit of field");
    }
    for (i, field) in (1..).zip(fields) {
        if let Some(dimensions) = &field.dimensions {
            let key = format!("TDIM{i}");
            cards.push(record(&format!("{key:<8}= '{dimensions}'"), ""));
        }
    }
    cards
}

/// A TFORM in words.
fn meaning(form: &str) -> &'static str {
    match form.as_bytes().last() {
        Some(b'L') => "1-byte LOGICAL",
        Some(b'B') => "BYTE",
        Some(b'I') => "2-byte INTEGER",
        Some(b'J') => "4-byte INTEGER",
        Some(b'K') => "8-byte INTEGER",
        Some(b'E') => "4-byte REAL",
        Some(b'D') => "8-byte DOUBLE",
        _ => "ASCII Character",
    }
}
