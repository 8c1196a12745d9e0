//! The bytes of a binary table's rows (FITS Standard 4.0, section 7.3), and the columns they hold. Rows are read
//! and written in one block: column by column cfitsio is some 80 times slower on wide tables.

use super::card::ascii;
use super::layout::Field;
use crate::{Column, ColumnData, Header, Table};

/// A table as its header describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    columns: Vec<ColumnInfo>,
    nrows: usize,
    /// Bytes of a row.
    row: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct ColumnInfo {
    name: String,
    unit: String,
    /// Letter of TFORM; `P` and `Q` for columns of variable length.
    code: u8,
    /// Elements per row; for strings their width in bytes.
    repeat: usize,
    /// TSCAL, TZERO.
    scale: f64,
    zero: f64,
    /// TNULL: the integer that stands for no value.
    null: Option<i64>,
    /// TDIM in C order, empty where absent.
    shape: Vec<usize>,
}

impl Layout {
    /// From all cards of the HDU; an error says what is wrong with them.
    pub fn of(header: &Header) -> Result<Self, String> {
        let count = |key: &str| header.int(key).filter(|n| *n >= 0).ok_or(format!("no {key}"));
        let columns = (1..=count("TFIELDS")?).map(|i| ColumnInfo::of(header, i)).collect::<Result<Vec<_>, _>>()?;
        let (row, nrows) = (count("NAXIS1")? as usize, count("NAXIS2")? as usize);
        match columns.iter().map(cell_size).sum::<usize>() {
            sum if sum == row => Ok(Self { columns, nrows, row }),
            sum => Err(format!("columns of {sum} bytes in rows of {row}")),
        }
    }

    /// Bytes of all rows.
    pub fn size(&self) -> usize {
        self.nrows * self.row
    }
}

impl ColumnInfo {
    fn of(header: &Header, i: i64) -> Result<Self, String> {
        let key = |stem: &str| format!("{stem}{i}");
        let text = |stem: &str| header.str(&key(stem)).unwrap_or_default().trim().to_string();
        let form = text("TFORM");
        let end = form.bytes().position(|b| !b.is_ascii_digit()).ok_or(format!("TFORM{i} = '{form}'"))?;
        let dimensions = text("TDIM");
        let axes = dimensions.trim_matches(['(', ')']).split(',').rev().map(|n| n.trim().parse().ok());
        Ok(Self {
            name: text("TTYPE"),
            unit: text("TUNIT"),
            code: form.as_bytes()[end].to_ascii_uppercase(),
            repeat: form[..end].parse().unwrap_or(1),
            scale: header.float(&key("TSCAL")).unwrap_or(1.0),
            zero: header.float(&key("TZERO")).unwrap_or(0.0),
            null: header.int(&key("TNULL")),
            shape: axes.collect::<Option<_>>().unwrap_or_default(),
        })
    }
}

/// The columns as a header describes them.
pub(super) fn describe(table: &Table) -> Vec<Field> {
    let field =
        |c: &Column| Field { name: c.name.clone(), form: form(c), unit: c.unit.clone(), dimensions: dimensions(c) };
    table.columns().iter().map(field).collect()
}

/// Bytes of a row.
pub(super) fn width(table: &Table) -> usize {
    table.columns().iter().map(disk_size).sum()
}

fn form(c: &Column) -> String {
    match &c.data {
        ColumnData::Str { width, values } => format!("{}A", text_width(*width, values)),
        data => format!("{}{}", c.repeat(), code(data) as char),
    }
}

fn dimensions(c: &Column) -> Option<String> {
    let axes: Vec<String> = c.shape.iter().rev().map(usize::to_string).collect();
    (axes.len() > 1).then(|| format!("({})", axes.join(",")))
}

fn text_width(width: usize, values: &[String]) -> usize {
    values.iter().map(|v| v.chars().count()).fold(width.max(1), usize::max)
}

fn code(data: &ColumnData) -> u8 {
    match data {
        ColumnData::Bool(_) => b'L',
        ColumnData::U8(_) => b'B',
        ColumnData::I16(_) => b'I',
        ColumnData::I32(_) => b'J',
        ColumnData::I64(_) => b'K',
        ColumnData::F32(_) => b'E',
        ColumnData::F64(_) => b'D',
        ColumnData::Str { .. } => b'A',
    }
}

/// Bytes of one element of a column of this TFORM letter; 0 for those that have no [`ColumnData`].
fn element_size(code: u8) -> usize {
    match code {
        b'L' | b'B' | b'A' => 1,
        b'I' => 2,
        b'J' | b'E' => 4,
        b'K' | b'D' => 8,
        _ => 0,
    }
}

/// Bytes of one cell on disk, whatever the type.
fn cell_size(c: &ColumnInfo) -> usize {
    match c.code {
        b'X' => c.repeat.div_ceil(8),
        b'P' | b'C' => 8 * c.repeat,
        b'Q' | b'M' => 16 * c.repeat,
        code => element_size(code) * c.repeat,
    }
}

/// The bytes of all rows.
pub(super) fn encode(table: &Table) -> Vec<u8> {
    let columns = table.columns();
    let sizes: Vec<usize> = columns.iter().map(disk_size).collect();
    let row: usize = sizes.iter().sum();
    let mut bytes = vec![0; row * table.nrows()];
    let mut offset = 0;
    for (c, &size) in columns.iter().zip(&sizes) {
        encode_column(c, bytes.chunks_exact_mut(row.max(1)).map(|r| &mut r[offset..offset + size]));
        offset += size;
    }
    bytes
}

fn disk_size(c: &Column) -> usize {
    match &c.data {
        ColumnData::Str { width, values } => text_width(*width, values),
        data => element_size(code(data)) * c.repeat(),
    }
}

fn encode_column<'a>(c: &Column, cells: impl Iterator<Item = &'a mut [u8]>) {
    fn put<'a, T: Copy, const N: usize>(
        values: &[T],
        repeat: usize,
        cells: impl Iterator<Item = &'a mut [u8]>,
        bytes: impl Fn(T) -> [u8; N],
    ) {
        for (cell, v) in cells.zip(values.chunks_exact(repeat.max(1))) {
            for (to, &x) in cell.chunks_exact_mut(N).zip(v) {
                to.copy_from_slice(&bytes(x));
            }
        }
    }
    let n = c.repeat();
    match &c.data {
        ColumnData::Bool(v) => put(v, n, cells, |x| [if x { b'T' } else { b'F' }]),
        ColumnData::U8(v) => put(v, n, cells, |x| [x]),
        ColumnData::I16(v) => put(v, n, cells, i16::to_be_bytes),
        ColumnData::I32(v) => put(v, n, cells, i32::to_be_bytes),
        ColumnData::I64(v) => put(v, n, cells, i64::to_be_bytes),
        ColumnData::F32(v) => put(v, n, cells, f32::to_be_bytes),
        ColumnData::F64(v) => put(v, n, cells, f64::to_be_bytes),
        ColumnData::Str { values, .. } => {
            for (cell, text) in cells.zip(values) {
                // padded as DESI's files are: fitsio, hence specex and redrock, would keep blanks
                cell.fill(0);
                cell.iter_mut().zip(text.chars()).for_each(|(to, c)| *to = ascii(c));
            }
        }
    }
}

/// The table whose rows are these bytes; columns of bits, complex numbers and variable length are left out.
pub(super) fn decode(layout: &Layout, bytes: &[u8]) -> Table {
    let mut table = Table::new();
    let mut offset = 0;
    for c in &layout.columns {
        let size = cell_size(c);
        if element_size(c.code) > 0 {
            let cells = (0..layout.nrows).map(|r| &bytes[r * layout.row + offset..][..size]);
            table.set_column(decode_column(c, cells));
        }
        offset += size;
    }
    table
}

fn decode_column<'a>(c: &ColumnInfo, cells: impl Iterator<Item = &'a [u8]>) -> Column {
    fn get<'a, T, const N: usize>(cells: impl Iterator<Item = &'a [u8]>, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        cells.flat_map(|cell| cell.as_chunks::<N>().0.iter().map(|x| value(*x)).collect::<Vec<T>>()).collect()
    }
    let data = match c.code {
        b'L' => ColumnData::Bool(get(cells, |[x]| x == b'T')),
        b'B' => ColumnData::U8(get(cells, |[x]| x)),
        b'I' => ColumnData::I16(get(cells, i16::from_be_bytes)),
        b'J' => ColumnData::I32(get(cells, i32::from_be_bytes)),
        b'K' => ColumnData::I64(get(cells, i64::from_be_bytes)),
        b'E' => ColumnData::F32(get(cells, f32::from_be_bytes)),
        b'D' => ColumnData::F64(get(cells, f64::from_be_bytes)),
        _ => ColumnData::Str { width: c.repeat, values: cells.map(string).collect() },
    };
    let scalar = c.repeat == 1 || c.code == b'A';
    let shape = if scalar {
        vec![]
    } else if c.shape.iter().product::<usize>() == c.repeat && !c.shape.is_empty() {
        c.shape.clone()
    } else {
        vec![c.repeat]
    };
    Column { name: c.name.clone(), unit: c.unit.clone(), shape, data: rescale(data, c.scale, c.zero, c.null) }
}

/// A string cell: ends at the first NUL, trailing blanks are padding.
fn string(cell: &[u8]) -> String {
    let end = cell.iter().position(|&b| b == 0).unwrap_or(cell.len());
    String::from_utf8_lossy(&cell[..end]).trim_end().to_string()
}

/// Applies TSCAL and TZERO: unsigned integers become the next wider type, other scalings numbers, NaN where there is no value.
/// (Integers that are not scaled stay what is in the file, as fitsio has them: TNULL too.)
fn rescale(data: ColumnData, scale: f64, zero: f64, null: Option<i64>) -> ColumnData {
    const TWO_15: f64 = 32_768.0;
    const TWO_31: f64 = 2_147_483_648.0;
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if (scale == 1.0 && zero == 0.0) || matches!(data, ColumnData::Str { .. } | ColumnData::Bool(_)) {
        return data;
    }
    match data {
        ColumnData::U8(v) if scale == 1.0 && zero == -128.0 => {
            ColumnData::I16(v.into_iter().map(|x| i16::from(x) - 128).collect())
        }
        ColumnData::I16(v) if scale == 1.0 && zero == TWO_15 => {
            ColumnData::I32(v.into_iter().map(|x| i32::from(x) + (1 << 15)).collect())
        }
        ColumnData::I32(v) if scale == 1.0 && zero == TWO_31 => {
            ColumnData::I64(v.into_iter().map(|x| i64::from(x) + (1 << 31)).collect())
        }
        // The bits of the unsigned number; those beyond i64 wrap, as numpy's view does.
        ColumnData::I64(v) if scale == 1.0 && zero == TWO_63 => {
            ColumnData::I64(v.into_iter().map(|x| x ^ i64::MIN).collect())
        }
        data => {
            let stored = data.to_f64().unwrap_or_default();
            let null = null.map(|n| n as f64).filter(|_| !matches!(data, ColumnData::F32(_) | ColumnData::F64(_)));
            let value = |x| if Some(x) == null { f64::NAN } else { x * scale + zero };
            ColumnData::F64(stored.into_iter().map(value).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_columns_are_widened() {
        assert_eq!(rescale(ColumnData::I16(vec![-32768, 32767]), 1.0, 32768.0, None), ColumnData::I32(vec![0, 65535]));
        assert_eq!(rescale(ColumnData::I32(vec![i32::MIN]), 1.0, 2147483648.0, None), ColumnData::I64(vec![0]));
        assert_eq!(
            rescale(ColumnData::I64(vec![i64::MIN + 5]), 1.0, 9223372036854775808.0, None),
            ColumnData::I64(vec![5])
        );
        assert_eq!(rescale(ColumnData::I16(vec![3]), 0.5, 1.0, Some(4)), ColumnData::F64(vec![2.5]));
        let ColumnData::F64(v) = rescale(ColumnData::I16(vec![3, 4]), 0.5, 1.0, Some(4)) else { unreachable!() };
        assert!(v[0] == 2.5 && v[1].is_nan());
    }
}
