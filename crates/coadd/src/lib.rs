//! Spectra of a target summed over its exposures, band by band, and over the cameras.
//!
//! Nothing is resampled: exposures of a band share a wavelength grid, and the grids of the cameras one phase. Each bin is the
//! mean of the exposures weighted by their inverse variances, the resolution matrix likewise
//! (docs/algorithms/coadd.md).

mod cameras;
mod scores;

pub use cameras::merge;
use datamodel::{Band, BandSpectra, Spectra};
use exposures::{Exposure, Mean, Target, fibermap, is_usable, mean};
use ndarray::{Array2, Array3, ArrayView1, Axis};
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

/// Sums the exposures of each target, band by band; targets in order of their first row. A target without usable data
/// stays, with inverse variance 0 and mask NODATA.
///
/// # Errors
/// [`Error::NoTargets`], [`Error::Empty`].
pub fn over_exposures(spectra: &Spectra, options: Options) -> Result<Spectra, Error> {
    let targets = targets(spectra)?;
    let bands = spectra.bands.iter().map(|(&band, data)| {
        let means = targets.par_iter().map(|target| {
            let exposures: Vec<Exposure> =
                target.rows_in(band).into_iter().map(|row| Exposure::of(data, row)).collect();
            mean(&data.wave, data.resolution.dim().1, &exposures, options.nsig)
        });
        (band, stack(data, means.collect()))
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

/// The band of all targets.
fn stack(data: &BandSpectra, means: Vec<Mean>) -> BandSpectra {
    let (n, nwave, ndiag) = (means.len(), data.wave.len(), data.resolution.dim().1);
    let mut out = BandSpectra {
        wave: data.wave.clone(),
        flux: Array2::zeros((n, nwave)),
        ivar: Array2::zeros((n, nwave)),
        mask: Array2::zeros((n, nwave)),
        resolution: Array3::zeros((n, ndiag, nwave)),
    };
    for (i, mean) in means.into_iter().enumerate() {
        out.flux.row_mut(i).assign(&ArrayView1::from(&mean.flux));
        out.ivar.row_mut(i).assign(&ArrayView1::from(&mean.ivar));
        out.mask.row_mut(i).assign(&ArrayView1::from(&mean.mask));
        out.resolution.index_axis_mut(Axis(0), i).assign(&mean.resolution);
    }
    out
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
    let status = fibermap::status_of(&spectra.fibermap);
    for target in &mut targets {
        for (&band, data) in &spectra.bands {
            let used = target.rows.iter().map(|&row| is_usable(band, data, row, status[row])).collect();
            target.used.insert(band, used);
        }
    }
    Ok(targets)
}
