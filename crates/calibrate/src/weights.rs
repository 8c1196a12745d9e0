//! Weights of a star's bins.

use numerics::robust;

/// Weights that do not know a bin's own noise: a running median, but for bins that lost much of their
/// information (a sky line, masked pixels). With the bin's own inverse variance, which is higher where the
/// counts are low by chance, a faint star's mean would come out low.
pub fn smooth_weight(ivar: &[f64]) -> Vec<f64> {
    const WIDTH: usize = 15;
    let good: Vec<bool> = ivar.iter().map(|w| *w > 0.0).collect();
    let smooth = robust::running_median(ivar, &good, WIDTH);
    let pick = |(w, s): (&f64, f64)| if *w > 0.5 * s { s } else { *w };
    ivar.iter().zip(smooth).map(pick).collect()
}
