//! What several exposures of a target are together: the mean spectrum without cosmic rays ([`mean`]) and the rows of
//! FIBERMAP and EXP_FIBERMAP ([`fibermap`]). desi_coadd writes them, desi_zfind fits them (docs/algorithms/coadd.md).

pub mod fibermap;
mod hits;
mod mean;

use datamodel::{Band, BandSpectra, mask::fiber};
pub use mean::{Exposure, Mean, add_resolution, mean};
use std::collections::BTreeMap;

/// A target and its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// TARGETID.
    pub id: i64,
    /// All rows, in order.
    pub rows: Vec<usize>,
    /// Which of them are used in each band ([`is_usable`]).
    pub used: BTreeMap<Band, Vec<bool>>,
}

impl Target {
    /// Rows used in a band.
    pub fn rows_in(&self, band: Band) -> Vec<usize> {
        let used = self.used.get(&band).map_or(&[][..], Vec::as_slice);
        self.rows.iter().zip(used).filter(|(_, used)| **used).map(|(row, _)| *row).collect()
    }

    /// Rows used in any band.
    pub fn rows_in_any(&self) -> Vec<usize> {
        let any = |k: usize| self.used.values().any(|used| used[k]);
        self.rows.iter().enumerate().filter(|(k, _)| any(*k)).map(|(_, row)| *row).collect()
    }
}

/// Whether a row is part of a sum: FIBERSTATUS allows it in this band, and there are data.
pub fn is_usable(band: Band, data: &BandSpectra, row: usize, status: u32) -> bool {
    status & fiber::bad(band) == 0 && data.ivar.row(row).iter().any(|w| *w > 0.0)
}
