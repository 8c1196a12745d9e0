//! A binary table in memory: named columns of equal length, any of FITS's scalar or fixed-vector types.

/// Values of a column, row after row; a vector column of `repeat` elements holds `nrows * repeat` values.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Logical (TFORM L).
    Bool(Vec<bool>),
    /// Unsigned byte (B).
    U8(Vec<u8>),
    /// 16-bit integer (I).
    I16(Vec<i16>),
    /// 32-bit integer (J).
    I32(Vec<i32>),
    /// 64-bit integer (K).
    I64(Vec<i64>),
    /// 32-bit float (E).
    F32(Vec<f32>),
    /// 64-bit float (D).
    F64(Vec<f64>),
    /// Strings of at most `width` bytes (A), trailing blanks stripped; never a vector.
    Str {
        /// Width on disk in bytes.
        width: usize,
        /// One string a row.
        values: Vec<String>,
    },
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, upper case by convention.
    pub name: String,
    /// Its unit, may be empty.
    pub unit: String,
    /// Shape of a cell in C order (slow first); empty for a scalar.
    pub shape: Vec<usize>,
    /// The values.
    pub data: ColumnData,
}

/// Columns of equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
}

impl ColumnData {
    /// Number of values (rows times elements per row).
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Str { values, .. } => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as `i64`, if they are integers or logicals.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match self {
            Self::Bool(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::U8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I16(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I64(v) => v.clone(),
            _ => return None,
        })
    }

    /// The values as `f64`, if they are numbers.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        match self {
            Self::F32(v) => Some(v.iter().map(|&x| f64::from(x)).collect()),
            Self::F64(v) => Some(v.clone()),
            _ => self.to_i64().map(|v| v.into_iter().map(|x| x as f64).collect()),
        }
    }

    /// The values of elements `index * repeat .. (index + 1) * repeat` for each `index`, in that order.
    fn select(&self, rows: &[usize], repeat: usize) -> Self {
        fn pick<T: Clone>(v: &[T], rows: &[usize], repeat: usize) -> Vec<T> {
            rows.iter().flat_map(|&r| v[r * repeat..(r + 1) * repeat].iter().cloned()).collect()
        }
        match self {
            Self::Bool(v) => Self::Bool(pick(v, rows, repeat)),
            Self::U8(v) => Self::U8(pick(v, rows, repeat)),
            Self::I16(v) => Self::I16(pick(v, rows, repeat)),
            Self::I32(v) => Self::I32(pick(v, rows, repeat)),
            Self::I64(v) => Self::I64(pick(v, rows, repeat)),
            Self::F32(v) => Self::F32(pick(v, rows, repeat)),
            Self::F64(v) => Self::F64(pick(v, rows, repeat)),
            Self::Str { width, values } => Self::Str { width: *width, values: pick(values, rows, 1) },
        }
    }

    /// Appends the values of a column of the same type; `false` (and nothing done) if the types differ.
    fn append(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.extend(b),
            (Self::U8(a), Self::U8(b)) => a.extend(b),
            (Self::I16(a), Self::I16(b)) => a.extend(b),
            (Self::I32(a), Self::I32(b)) => a.extend(b),
            (Self::I64(a), Self::I64(b)) => a.extend(b),
            (Self::F32(a), Self::F32(b)) => a.extend(b),
            (Self::F64(a), Self::F64(b)) => a.extend(b),
            (Self::Str { width: w, values: a }, Self::Str { width, values }) => {
                *w = (*w).max(*width);
                a.extend(values.iter().cloned());
            }
            _ => return false,
        }
        true
    }
}

impl Column {
    /// Elements per row.
    pub fn repeat(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.data.len().checked_div(self.repeat()).unwrap_or(0)
    }
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.columns.first().map_or(0, Column::nrows)
    }

    /// Adds a scalar column, or replaces the one of that name (names compare without case).
    pub fn set(&mut self, name: &str, unit: &str, data: ColumnData) -> &mut Self {
        self.set_column(Column { name: name.to_string(), unit: unit.to_string(), shape: vec![], data })
    }

    /// Adds a column of any shape, or replaces the one of that name.
    pub fn set_column(&mut self, column: Column) -> &mut Self {
        match self.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(&column.name)) {
            Some(old) => *old = column,
            None => self.columns.push(column),
        }
        self
    }

    /// The column of that name (compared without case).
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// An integer column as `i64`.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.column(name)?.data.to_i64()
    }

    /// A numeric column as `f64`.
    pub fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.column(name)?.data.to_f64()
    }

    /// A string column.
    pub fn strings(&self, name: &str) -> Option<&[String]> {
        match &self.column(name)?.data {
            ColumnData::Str { values, .. } => Some(values),
            _ => None,
        }
    }

    /// The given rows, in the given order; a row may be given twice.
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns =
            self.columns.iter().map(|c| Column { data: c.data.select(rows, c.repeat()), ..c.clone() }).collect();
        Self { columns }
    }

    /// Appends the rows of `other`, which must have the same columns of the same types; `Err` names the
    /// column that does not match.
    pub fn append(&mut self, other: &Self) -> Result<(), String> {
        if self.columns.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        for c in &self.columns {
            match other.column(&c.name) {
                Some(o) if o.shape == c.shape && std::mem::discriminant(&o.data) == std::mem::discriminant(&c.data) => {
                }
                _ => return Err(c.name.clone()),
            }
        }
        for c in &mut self.columns {
            if let Some(o) = other.column(&c.name) {
                c.data.append(&o.data);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_and_appended_whole() {
        let mut t = Table::new();
        t.set("ID", "", ColumnData::I64(vec![5, 6, 7]));
        t.set_column(Column {
            name: "COEFF".into(),
            unit: String::new(),
            shape: vec![2],
            data: ColumnData::F64(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        });
        let mut s = t.select(&[2, 0]);
        assert_eq!(s.ints("id"), Some(vec![7, 5]));
        assert_eq!(s.floats("COEFF"), Some(vec![5.0, 6.0, 1.0, 2.0]));
        s.append(&t).unwrap();
        assert_eq!(s.nrows(), 5);
        assert_eq!(s.append(&Table::new()), Err("ID".to_string()));
    }
}
