//! `fibermap`: which target each fibre looks at. A table whose columns are all kept, with typed access to
//! those that the pipeline uses.

use crate::checks::invalid;
use crate::fits::{FitsReader, FitsWriter};
use crate::mask::target::{GAIA_STD_BRIGHT, GAIA_STD_FAINT, STD_BRIGHT, STD_FAINT};
use crate::{ColumnData, Header, Result, Table, fibermap2016};
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
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] without column FIBER.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let fibermap = Self::read_from(&mut fits, "FIBERMAP")?;
        match fibermap.table.ints("FIBER") {
            Some(_) => Ok(fibermap),
            None => Err(invalid(path, "FIBERMAP", "column FIBER", "integers", "nothing")),
        }
    }

    /// Reads an HDU of an open file.
    pub(crate) fn read_from(fits: &mut FitsReader, hdu: &str) -> Result<Self> {
        let (header, table) = (fits.header(hdu)?, fits.table(hdu)?);
        Ok(Self { header, table: fibermap2016::translate(table) })
    }

    /// Reads an HDU that may be absent.
    pub(crate) fn read_optional(fits: &mut FitsReader, hdu: &str) -> Result<Option<Self>> {
        if fits.has(hdu) { Self::read_from(fits, hdu).map(Some) } else { Ok(None) }
    }

    /// Nothing but column FIBER: `n` fibres from `first` on.
    pub fn numbered(first: i32, n: usize) -> Self {
        let mut table = Table::new();
        table.set("FIBER", "", ColumnData::I32((first..).take(n).collect()));
        Self { header: Header::new(), table }
    }

    /// Whether it tells more of a fibre than its number: what it looks at.
    pub fn has_targets(&self) -> bool {
        self.table.columns().iter().any(|c| !c.name.eq_ignore_ascii_case("FIBER"))
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut fits = FitsWriter::create(path)?;
        fits.empty_primary(&Header::new())?;
        self.write_to(&mut fits, "FIBERMAP")?;
        fits.finish()
    }

    /// Writes it as an HDU.
    pub(crate) fn write_to(&self, fits: &mut FitsWriter, hdu: &str) -> Result<()> {
        fits.table(hdu, &self.table, &self.header)
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
        let desi = self.target_bits("DESI_TARGET");
        let mws = self.target_bits("MWS_TARGET");
        if desi.is_some() || mws.is_some() {
            let has = |bits: &Option<Vec<i64>>, i: usize, mask: i64| bits.as_ref().is_some_and(|b| b[i] & mask != 0);
            return (0..self.len())
                .map(|i| has(&desi, i, STD_FAINT | STD_BRIGHT) || has(&mws, i, GAIA_STD_FAINT | GAIA_STD_BRIGHT))
                .collect();
        }
        if let Some(types) = self.table.ints("FA_TYPE") {
            return types.into_iter().map(|t| t & 2 != 0).collect();
        }
        let objtype = self.table.strings("OBJTYPE");
        objtype.map_or_else(|| vec![false; self.len()], |v| v.iter().map(|t| t.trim() == "STD").collect())
    }

    /// Target bits under the name that the survey's phase gave the column.
    fn target_bits(&self, column: &str) -> Option<Vec<i64>> {
        ["SV1_", "SV2_", "SV3_", ""].iter().find_map(|phase| self.table.ints(&format!("{phase}{column}")))
    }
}
