//! The bands of a coadd joined on one wavelength grid.

use crate::Error;
use datamodel::{Band, BandSpectra, Spectra, mask::spec};
use exposures::add_resolution;
use ndarray::{Array1, Array2, Array3, Axis};
use std::collections::BTreeMap;

/// Wavelengths of two bands within this many Angstrom are the same bin.
const SAME: f64 = 1e-4;

/// Joins the bands: where they overlap each bin is the mean weighted by the inverse variances of the unmasked ones. The sum is held as
/// band B ([`Spectra::write_merged`]).
///
/// # Errors
/// [`Error::Grids`] if the bands' grids are not parts of one.
pub fn merge(spectra: Spectra) -> Result<Spectra, Error> {
    let (wave, starts) = common_grid(&spectra.bands)?;
    let n = spectra.fibermap.len();
    let ndiag = spectra.bands.values().map(|b| b.resolution.dim().1).max().unwrap_or(1);
    let mut sum = BandSpectra {
        flux: Array2::zeros((n, wave.len())),
        ivar: Array2::zeros((n, wave.len())),
        mask: Array2::zeros((n, wave.len())),
        resolution: Array3::zeros((n, ndiag, wave.len())),
        wave,
    };
    for i in 0..n {
        join(&mut sum, i, &spectra.bands, &starts);
    }
    Ok(Spectra { bands: BTreeMap::from([(Band::B, sum)]), ..spectra })
}

/// The grid that all bands are parts of, and where each starts in it.
fn common_grid(bands: &BTreeMap<Band, BandSpectra>) -> Result<(Vec<f64>, Vec<usize>), Error> {
    let mut wave: Vec<f64> = vec![];
    let mut starts = vec![];
    let mut before = Band::B;
    for (&band, data) in bands {
        let last = wave.last().copied().unwrap_or(f64::NEG_INFINITY);
        let start = wave.partition_point(|w| *w < data.wave[0] - SAME);
        wave.extend(data.wave.iter().filter(|w| **w > last + SAME));
        let offset =
            data.wave.iter().enumerate().map(|(j, w)| wave.get(start + j).map_or(f64::INFINITY, |c| (c - w).abs()));
        let offset = offset.fold(0.0, f64::max);
        if offset > SAME {
            return Err(Error::Grids { first: before, second: band, offset });
        }
        starts.push(start);
        before = band;
    }
    Ok((wave, starts))
}

/// Spectrum `i` of all bands.
fn join(sum: &mut BandSpectra, i: usize, bands: &BTreeMap<Band, BandSpectra>, starts: &[usize]) {
    let n = sum.wave.len();
    let placed = || bands.values().zip(starts);
    // weights of good bins, and of all where there is no good one
    let (mut good, mut any) = (Array1::<f64>::zeros(n), Array1::<f64>::zeros(n));
    for (band, &start) in placed() {
        for (j, (&w, &m)) in band.ivar.row(i).iter().zip(band.mask.row(i)).enumerate() {
            any[start + j] += f64::from(w);
            good[start + j] += if m == 0 { f64::from(w) } else { 0.0 };
        }
    }
    let mut flux = Array1::<f64>::zeros(n);
    let mut resolution = Array2::zeros((sum.resolution.dim().1, n));
    for (band, &start) in placed() {
        let mut share = Array1::<f64>::zeros(band.wave.len());
        for j in 0..band.wave.len() {
            let (at, weight, mask) = (start + j, f64::from(band.ivar[[i, j]]), band.mask[[i, j]]);
            let total = if good[at] > 0.0 { good[at] } else { any[at] };
            let counts = weight > 0.0 && (mask == 0 || good[at] == 0.0);
            share[j] = if counts { weight / total } else { 0.0 };
            flux[at] += share[j] * f64::from(band.flux[[i, j]]);
            sum.mask[[i, at]] |= if good[at] > 0.0 { 0 } else { mask };
        }
        let mut part = resolution.slice_mut(ndarray::s![.., start..start + band.wave.len()]);
        let mut own = Array2::zeros((part.nrows(), part.ncols()));
        add_resolution(&mut own, band.resolution.index_axis(Axis(0), i), share.view());
        part += &own;
    }
    for j in 0..n {
        let ivar = if good[j] > 0.0 { good[j] } else { any[j] };
        sum.flux[[i, j]] = flux[j] as f32;
        sum.ivar[[i, j]] = ivar as f32;
        sum.mask[[i, j]] |= if ivar > 0.0 { 0 } else { spec::NODATA };
    }
    sum.resolution.index_axis_mut(Axis(0), i).assign(&resolution);
}
