//! TSNR2: how much an exposure tells about the redshifts of a class of targets, whatever a fibre holds
//! (Guy et al. 2023, AJ 165, 144, section 4.14): the squared signal-to-noise ratio of the small-scale structure of a
//! typical target, `Σ_i ⟨δF²⟩(λ_i) / σ²_i`, with `σ` the noise of the fibre without its target.

use crate::tracers;
use datamodel::{ColumnData, Fiberflat, FluxCalib, Frame};
use rayon::prelude::*;

pub use tracers::TRACERS;

/// A class of targets.
pub struct Tracer {
    /// As in TSNR2_name_band.
    pub name: &'static str,
    /// `⟨δF²⟩`, (1e-17 erg/s/cm2/Angstrom)², in boxes of 100 Angstrom from 3600 on: the mean square, over targets of the
    /// class of all redshifts, of the flux less its running mean over 100 Angstrom.
    pub power: [f32; BOXES],
}

const FIRST: f64 = 3600.0;
const BOX: f64 = 100.0;
const BOXES: usize = 63;
/// Least share of the variance that is taken to be the sky's and the CCD's.
const LEAST_SHARE: f64 = 0.1;

/// The box that holds a wavelength; the first and last ones hold what lies beyond.
fn box_of(wave: f64) -> usize {
    (((wave - FIRST) / BOX).max(0.0) as usize).min(BOXES - 1)
}

/// Adds TSNR2_tracer_band of a calibrated frame to its SCORES.
pub fn append(frame: &mut Frame, flat: Option<&Fiberflat>, calib: &FluxCalib) {
    let Some(band) = frame.camera().map(|c| c.band) else { return };
    let n = frame.wave.len();
    if n < 2 {
        return;
    }
    let step = (frame.wave[n - 1] - frame.wave[0]) / (n - 1) as f64;
    let boxes: Vec<usize> = frame.wave.iter().map(|&w| box_of(w)).collect();
    let of_fiber = |i: usize| -> Vec<f32> {
        // the ensembles are constant over a box
        let mut information = [0.0; BOXES];
        for (j, &k) in boxes.iter().enumerate() {
            information[k] += background_ivar(frame, flat, calib, (i, j), step);
        }
        let sum = |t: &Tracer| t.power.iter().zip(&information).map(|(p, w)| f64::from(*p) * w).sum::<f64>() as f32;
        TRACERS.iter().map(sum).collect()
    };
    let rows: Vec<Vec<f32>> = (0..frame.nspec()).into_par_iter().map(of_fiber).collect();
    let letter = band.letter().to_ascii_uppercase();
    let scores = crate::scores::table_of(frame);
    for (k, tracer) in TRACERS.iter().enumerate() {
        let column = ColumnData::F32(rows.iter().map(|r| r[k]).collect());
        scores.set(&format!("TSNR2_{}_{letter}", tracer.name), "", column);
    }
}

/// Inverse variance of a calibrated bin without the photons of its target: those of a flux `F` have the variance
/// `F / (C t Δλ)`, with the calibration `C` and the fibre flat `t`.
fn background_ivar(frame: &Frame, flat: Option<&Fiberflat>, calib: &FluxCalib, at: (usize, usize), step: f64) -> f64 {
    let (w, c) = (f64::from(frame.ivar[at]), f64::from(calib.calib[at]));
    if frame.mask[at] != 0 || w <= 0.0 || c <= 0.0 {
        return 0.0;
    }
    let throughput = flat.map_or(1.0, |f| f64::from(f.fiberflat[at])).max(0.01);
    let target = f64::from(frame.flux[at]).max(0.0) / (c * throughput * step);
    1.0 / (1.0 / w - target).max(LEAST_SHARE / w)
}
