//! Several fibre flats made one: the mean of exposures of one camera, and the flats of a night's lamps brought
//! to one scale over all spectrographs.

use crate::{Params, field};
use datamodel::{Camera, Fiberflat, mask::fiber, mask::spec};
use ndarray::Array2;
use numerics::{interp, robust};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Values this many sigmas off the median of the flats are left out of their mean.
const OUTLIER_NSIG: f64 = 6.0;
/// A fibre with a larger share of masked bins is BADFLAT.
const MOST_MASKED: f64 = 0.25;
/// A bin that exceeds the mean of its neighbours by this and 3 sigma, or whose error is larger, is interpolated.
const SPIKE: f64 = 0.1;
const LARGEST_ERROR: f64 = 0.05;

/// Why flats cannot be combined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two flats are of different things.
    #[error("flats {first} and {second} differ in their {what}")]
    Mismatch {
        /// Index of one input.
        first: usize,
        /// Index of another.
        second: usize,
        /// Camera, arm, wavelengths, fibres.
        what: &'static str,
    },
    /// No flat of the camera wanted.
    #[error("no flat of camera {0} is given")]
    NoCamera(Camera),
    /// No flat at all.
    #[error("no flat is given")]
    Nothing,
    /// The flats contradict each other everywhere, or none of them is good anywhere.
    #[error("no bin is left: the flats are masked or contradict each other in every bin")]
    NoBin,
}

/// The mean of flats of one camera: of each bin the mean, weighted by the inverse variance, of those within 6 sigma
/// of their median. With two that contradict each other, or none that is good, the bin is masked. What the lamp
/// leaves wrong (`params.systematic_error`) does not average out.
///
/// # Errors
/// [`Error::Nothing`]; [`Error::Mismatch`] of cameras, wavelengths or fibres; [`Error::NoBin`].
pub fn average(flats: &[&Fiberflat], params: &Params) -> Result<Fiberflat, Error> {
    with_a_good_bin(mean(flats, params)?)
}

fn with_a_good_bin(flat: Fiberflat) -> Result<Fiberflat, Error> {
    if flat.ivar.iter().any(|w| *w > 0.0) { Ok(flat) } else { Err(Error::NoBin) }
}

fn mean(flats: &[&Fiberflat], params: &Params) -> Result<Fiberflat, Error> {
    let first = *flats.first().ok_or(Error::Nothing)?;
    for (k, flat) in flats.iter().enumerate() {
        let mismatch = |what| Err(Error::Mismatch { first: 0, second: k, what });
        if flat.camera() != first.camera() {
            return mismatch("camera");
        }
        if !datamodel::same_wavelengths(&first.wave, &flat.wave) {
            return mismatch("wavelengths");
        }
        if flat.fiberflat.dim() != first.fiberflat.dim() || fibers(flat) != fibers(first) {
            return mismatch("fibres");
        }
    }
    let (nspec, nwave) = first.fiberflat.dim();
    let systematic = params.systematic_error.powi(2);
    let bin = |at: (usize, usize)| mean_of_bin(flats, at, systematic);
    let rows: Vec<Vec<(f64, f64)>> =
        (0..nspec).into_par_iter().map(|f| (0..nwave).map(|j| bin((f, j))).collect()).collect();
    let mut out = first.clone();
    for (f, row) in rows.iter().enumerate() {
        let mut values: Vec<f64> = row.iter().map(|(value, _)| *value).collect();
        let good: Vec<bool> = row.iter().map(|(_, ivar)| *ivar > 0.0).collect();
        if good.contains(&true) {
            interp::fill(&mut values, &good);
        }
        for (j, value) in values.into_iter().enumerate() {
            out.fiberflat[(f, j)] = value as f32;
            out.ivar[(f, j)] = row[j].1 as f32;
            out.mask[(f, j)] = if good[j] { 0 } else { spec::BADFIBERFLAT };
        }
    }
    out.meanspec = (0..nwave).map(|j| flats.iter().map(|f| f.meanspec[j]).sum::<f64>() / flats.len() as f64).collect();
    out.header.set("NFLATS", flats.len(), "fibre flats combined");
    Ok(out)
}

fn fibers(flat: &Fiberflat) -> Option<Vec<i32>> {
    flat.fibermap.as_ref().map(|m| m.fibers())
}

/// Mean and inverse variance of a bin; (1, 0) without one.
fn mean_of_bin(flats: &[&Fiberflat], at: (usize, usize), systematic: f64) -> (f64, f64) {
    let data: Vec<(f64, f64)> = flats
        .iter()
        .filter(|f| f.ivar[at] > 0.0 && f.mask[at] == 0)
        .map(|f| (f64::from(f.fiberflat[at]), (1.0 / f64::from(f.ivar[at]) - systematic).max(1e-12)))
        .collect();
    let values: Vec<f64> = data.iter().map(|(value, _)| *value).collect();
    let Some(middle) = robust::median(&values) else { return (1.0, 0.0) };
    let agrees = |(value, var): &&(f64, f64)| (value - middle).powi(2) <= OUTLIER_NSIG.powi(2) * (var + systematic);
    let (mut sum, mut weight) = (0.0, 0.0);
    for (value, var) in data.iter().filter(agrees) {
        sum += value / var;
        weight += 1.0 / var;
    }
    if weight > 0.0 { (sum / weight, 1.0 / (1.0 / weight + systematic)) } else { (1.0, 0.0) }
}

/// The flat of a night for one camera, from flats of all spectrographs that were lit together, lamp by lamp
/// (exposures that share EXPID). In each exposure the flats, each normalised to its own spectrograph, are brought to
/// one scale by the spectra of the lamp, and to 1 in the middle of the field. The mean of the exposures is
/// normalised to the median over the spectrographs, single spikes are interpolated, and fibres that are masked for
/// more than a quarter become BADFLAT.
///
/// # Errors
/// [`Error::Nothing`]; [`Error::NoCamera`]; [`Error::Mismatch`] of arms or wavelengths, or of one camera's fibres;
/// [`Error::NoBin`].
pub fn nightly(flats: &[&Fiberflat], camera: Camera, params: &Params) -> Result<Fiberflat, Error> {
    let first = *flats.first().ok_or(Error::Nothing)?;
    for (k, flat) in flats.iter().enumerate() {
        let mismatch = |what| Err(Error::Mismatch { first: 0, second: k, what });
        if flat.camera().map(|c| c.band) != Some(camera.band) {
            return mismatch("arm");
        }
        if !datamodel::same_wavelengths(&first.wave, &flat.wave) {
            return mismatch("wavelengths");
        }
    }
    let exposure = |f: &Fiberflat| f.header.int("EXPID");
    let exposures: BTreeSet<Option<i64>> = flats.iter().map(|f| exposure(f)).collect();
    let scaled: Vec<Fiberflat> = exposures
        .iter()
        .flat_map(|&expid| {
            field::to_the_centre(flats.iter().copied().filter(|f| exposure(f) == expid).collect::<Vec<_>>().as_slice())
        })
        .collect();
    let cameras: BTreeSet<Option<Camera>> = scaled.iter().map(Fiberflat::camera).collect();
    let means = cameras
        .iter()
        .map(|c| mean(&scaled.iter().filter(|f| f.camera() == *c).collect::<Vec<_>>(), params))
        .collect::<Result<Vec<_>, _>>()?;
    let norm = median_over_spectrographs(&means);
    let mut out = means.into_iter().find(|f| f.camera() == Some(camera)).ok_or(Error::NoCamera(camera))?;
    field::divide(&mut out, &norm);
    interpolate_spikes(&mut out);
    flag_bad_fibers(&mut out);
    with_a_good_bin(out)
}

/// Of each wavelength: the median over the flats of the median over their good fibres.
fn median_over_spectrographs(flats: &[Fiberflat]) -> Vec<f64> {
    let of_flat = |flat: &Fiberflat, j: usize| {
        let good = (0..flat.fiberflat.nrows()).filter(|&f| flat.mask[(f, j)] == 0);
        let column: Vec<f64> = good.map(|f| f64::from(flat.fiberflat[(f, j)])).collect();
        robust::median(&column)
    };
    let of_bin = |j: usize| {
        let medians: Vec<f64> = flats.iter().filter_map(|f| of_flat(f, j)).collect();
        robust::median(&medians).filter(|m| *m > 0.0).unwrap_or(1.0)
    };
    (0..flats[0].wave.len()).map(of_bin).collect()
}

/// Replaces spikes and bins of large error by a line between their neighbours; their inverse variance stays.
fn interpolate_spikes(flat: &mut Fiberflat) {
    let (nspec, nwave) = flat.fiberflat.dim();
    let before: Array2<f32> = flat.fiberflat.clone();
    for f in 0..nspec {
        let value = |j: usize| f64::from(before[(f, j)]);
        let spoiled = |j: usize| {
            let w = f64::from(flat.ivar[(f, j)]);
            let neighbours = 0.5 * (value(j.saturating_sub(1)) + value((j + 1).min(nwave - 1)));
            let sigma = if w > 0.0 { 1.0 / w.sqrt() } else { return false };
            value(j) > neighbours + SPIKE + 3.0 * sigma || sigma > LARGEST_ERROR
        };
        let good: Vec<bool> = (0..nwave).map(|j| !spoiled(j)).collect();
        if good.iter().all(|g| *g) || !good.contains(&true) {
            continue;
        }
        let mut row: Vec<f64> = (0..nwave).map(value).collect();
        interp::fill(&mut row, &good);
        flat.fiberflat.row_mut(f).iter_mut().zip(row).for_each(|(v, r)| *v = r as f32);
    }
}

fn flag_bad_fibers(flat: &mut Fiberflat) {
    let masked = |f: usize| flat.mask.row(f).iter().filter(|m| **m != 0).count() as f64;
    let bad: Vec<bool> = (0..flat.mask.nrows()).map(|f| masked(f) > MOST_MASKED * flat.wave.len() as f64).collect();
    if let Some(fibermap) = &mut flat.fibermap {
        let status = fibermap.fiberstatus().into_iter().zip(bad);
        let status = status.map(|(s, bad)| (s | if bad { fiber::BADFLAT } else { 0 }) as i32).collect();
        fibermap.table.set("FIBERSTATUS", "", datamodel::ColumnData::I32(status));
    }
}
