//! Spectra of a target summed over its exposures, band by band, and over the cameras.
//!
//! Nothing is resampled: exposures of a band share a wavelength grid, and the grids of the cameras one phase. Each bin is the
//! mean of the exposures weighted by their inverse variances, the resolution matrix likewise
//! (docs/algorithms/coadd.md).

mod cameras;
mod cosmics;
mod exposures;
mod fibermap;
mod scores;

pub use cameras::merge;
use datamodel::{Band, Fibermap, Spectra};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Spectra that cannot be summed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The rows do not say which target they are of.
    #[error("FIBERMAP: column TARGETID is missing")]
    NoTargets,
    /// There is no row.
    #[error("FIBERMAP: there is no spectrum")]
    Empty,
    /// The bands' wavelengths are not parts of one grid.
    #[error("bands {first} and {second} have no common grid: wavelengths differ by {offset:.4} Angstrom")]
    Grids {
        /// The bluer one.
        first: Band,
        /// The redder one.
        second: Band,
        /// Largest distance of a wavelength to the nearest of the common grid.
        offset: f64,
    },
}

/// How it is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Sigmas from which on a bin that differs from the other exposures is left out; none is at 0.
    pub nsig: f64,
    /// All exposures are of one tile: columns of the fibre and of the tile stay in FIBERMAP.
    pub onetile: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nsig: 4.0, onetile: false }
    }
}

/// A target and its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub id: i64,
    /// All rows, in order.
    pub rows: Vec<usize>,
    /// Which of them are used in each band: FIBERSTATUS allows it, and there are data.
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

/// Sums the exposures of each target, band by band; targets in order of their first row. A target without usable data
/// stays, with inverse variance 0 and mask NODATA.
///
/// # Errors
/// [`Error::NoTargets`], [`Error::Empty`].
pub fn over_exposures(spectra: &Spectra, options: Options) -> Result<Spectra, Error> {
    let targets = targets(spectra)?;
    let bands = spectra.bands.iter().map(|(&band, data)| {
        let rows: Vec<Vec<usize>> = targets.iter().map(|t| t.rows_in(band)).collect();
        let sums = rows.into_par_iter().map(|rows| exposures::sum(data, &rows, options.nsig)).collect();
        (band, exposures::stack(data, sums))
    });
    let bands = bands.collect();
    let scores = scores::of_coadd(&bands, spectra.scores.as_ref(), &targets);
    Ok(Spectra {
        header: spectra.header.clone(),
        fibermap: fibermap::of_targets(&spectra.fibermap, &targets, options.onetile),
        exp_fibermap: Some(fibermap::of_exposures(&spectra.fibermap, &targets)),
        bands,
        scores: Some(scores),
    })
}

fn targets(spectra: &Spectra) -> Result<Vec<Target>, Error> {
    let ids = spectra.fibermap.table.ints("TARGETID").ok_or(Error::NoTargets)?;
    if ids.is_empty() {
        return Err(Error::Empty);
    }
    let mut targets: Vec<Target> = vec![];
    let mut places: HashMap<i64, usize> = HashMap::new();
    for (row, &id) in ids.iter().enumerate() {
        let place = *places.entry(id).or_insert_with(|| {
            targets.push(Target { id, rows: vec![], used: BTreeMap::new() });
            targets.len() - 1
        });
        targets[place].rows.push(row);
    }
    let status = status_of(&spectra.fibermap);
    for target in &mut targets {
        for (&band, data) in &spectra.bands {
            let usable = |&row: &usize| {
                status[row] & datamodel::mask::fiber::bad(band) == 0 && data.ivar.row(row).iter().any(|w| *w > 0.0)
            };
            target.used.insert(band, target.rows.iter().map(usable).collect());
        }
    }
    Ok(targets)
}

/// FIBERSTATUS of each row, of a coadd COADD_FIBERSTATUS.
pub(crate) fn status_of(fibermap: &Fibermap) -> Vec<u32> {
    match fibermap.table.ints("COADD_FIBERSTATUS") {
        Some(status) if fibermap.table.column("FIBERSTATUS").is_none() => {
            status.into_iter().map(|s| s as u32).collect()
        }
        _ => fibermap.fiberstatus(),
    }
}
