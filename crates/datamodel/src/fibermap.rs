//! `fibermap`: which target each fibre looks at. A table whose columns are all kept, with typed access to
//! those that the pipeline uses.

use crate::{Header, Result, Table};
use std::path::Path;

/// Rows of fibres, with the header of HDU FIBERMAP.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fibermap {
    /// EXPID, NIGHT, TILEID, FLAVOR, EXPTIME ... of HDU FIBERMAP.
    pub header: Header,
    /// All columns (today's names: TARGETID, FIBER, OBJTYPE, FLUX_R ...; 2016 files are translated on reading).
    pub table: Table,
}

impl Fibermap {
    /// Reads and validates a file.
    pub fn read(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let _ = path;
        todo!()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.table.nrows()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows given, in that order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { header: self.header.clone(), table: self.table.select(rows) }
    }

    /// FIBER of each row (global, 0 to 4999).
    pub fn fibers(&self) -> Vec<i32> {
        self.table.ints("FIBER").unwrap_or_default().into_iter().map(|f| f as i32).collect()
    }

    /// TARGETID of each row (-1 where the column is absent).
    pub fn targetids(&self) -> Vec<i64> {
        self.table.ints("TARGETID").unwrap_or_else(|| vec![-1; self.len()])
    }

    /// FIBERSTATUS of each row (0 where the column is absent).
    pub fn fiberstatus(&self) -> Vec<u32> {
        self.table
            .ints("FIBERSTATUS")
            .map_or_else(|| vec![0; self.len()], |v| v.into_iter().map(|s| s as u32).collect())
    }

    /// Whether OBJTYPE is SKY, for each row.
    pub fn is_sky(&self) -> Vec<bool> {
        self.table
            .strings("OBJTYPE")
            .map_or_else(|| vec![false; self.len()], |v| v.iter().map(|t| t.trim() == "SKY").collect())
    }

    /// Whether the row is a standard star by its target bits (STD_FAINT or STD_BRIGHT of DESI_TARGET, the GAIA
    /// ones of MWS_TARGET; without those columns bit 1 of FA_TYPE, or OBJTYPE STD of 2016), for each row.
    pub fn is_standard(&self) -> Vec<bool> {
        todo!()
    }
}
