//! The bright lines of the sky, found in the sky itself.

use crate::fibers::SkyFiber;
use numerics::robust;

/// A line matters when this fraction of the sky exceeds the noise of one fibre.
const RELEVANT_ERROR: f64 = 0.1;

/// Bins of local maxima whose 10% is above the noise of a fibre, in ascending order.
pub fn bright(mean: &[f64], covered: &[bool], fibers: &[SkyFiber]) -> Vec<usize> {
    let n = mean.len();
    let noise = |j: usize| {
        let variances: Vec<f64> = fibers.iter().filter(|f| f.ivar[j] > 0.0).map(|f| 1.0 / f.ivar[j]).collect();
        robust::median(&variances).map_or(f64::INFINITY, f64::sqrt)
    };
    (2..n.saturating_sub(2))
        .filter(|&j| mean[j] >= mean[j - 1] && mean[j] > mean[j + 1] && mean[j] > mean[j - 2] && mean[j] >= mean[j + 2])
        .filter(|&j| covered[j] && RELEVANT_ERROR * mean[j] > noise(j))
        .collect()
}
