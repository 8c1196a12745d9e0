//! The spectrum of the lamp, common to all fibres.

use crate::fibers::FlatFiber;
use calibrate::NormalEquations;
use datamodel::Frame;
use numerics::{NumericsError, interp, robust};
use rayon::prelude::*;

/// Strength of the prior that carries the lamp over bins where every fibre is bad.
const SMOOTHNESS: f64 = 1e-8;

/// Median over the living fibres of each bin; gaps are interpolated.
pub fn median(fibers: &[FlatFiber], nwave: usize) -> Vec<f64> {
    let medians: Vec<Option<f64>> = (0..nwave)
        .into_par_iter()
        .map(|j| {
            let living = fibers.iter().filter(|f| !f.dead && f.weight[j] > 0.0);
            let mut column: Vec<f64> = living.map(|f| f.flux[j]).collect();
            robust::median_in_place(&mut column)
        })
        .collect();
    let good: Vec<bool> = medians.iter().map(Option::is_some).collect();
    let mut lamp: Vec<f64> = medians.into_iter().map(|m| m.unwrap_or(0.0)).collect();
    interp::fill(&mut lamp, &good);
    lamp
}

/// Deconvolved lamp given the smooth flats, electron/Angstrom.
pub fn deconvolved(frame: &Frame, fibers: &[FlatFiber]) -> Result<Vec<f64>, NumericsError> {
    let (nwave, ndiag) = (frame.wave.len(), frame.resolution.dim().1);
    let living: Vec<&FlatFiber> = fibers.iter().filter(|f| !f.dead).collect();
    let mut normal = NormalEquations::sum(nwave, ndiag, &living, |normal, f| {
        // D = F (R M) with weight w is D / F = R M with weight w F²
        let usable = |j: usize| f.weight[j] > 0.0 && f.smooth[j] > 0.0;
        let w: Vec<f64> =
            (0..nwave).map(|j| if usable(j) { f.weight[j] * f.smooth[j] * f.smooth[j] } else { 0.0 }).collect();
        let y: Vec<f64> = (0..nwave).map(|j| if usable(j) { f.flux[j] / f.smooth[j] } else { 0.0 }).collect();
        normal.add(&frame.resolution_view(f.row), &w, &y);
    });
    normal.add_smoothness(SMOOTHNESS);
    Ok(normal.solve()?.spectrum)
}
