//! What the resolutions of all fibres have in common.

use datamodel::Frame;
use ndarray::{Array2, Axis};
use numerics::Resolution;

/// Mean resolution matrix of the fibres that have data.
pub fn mean_resolution(frame: &Frame) -> Resolution {
    let (_, ndiag, nwave) = frame.resolution.dim();
    let mut sum = Array2::<f64>::zeros((ndiag, nwave));
    let mut count = 0.0;
    for (plane, ivar) in frame.resolution.axis_iter(Axis(0)).zip(frame.ivar.rows()) {
        if ivar.iter().any(|w| *w > 0.0) {
            sum.zip_mut_with(&plane, |s, r| *s += f64::from(*r));
            count += 1.0;
        }
    }
    Resolution::from_dia(sum.mapv(|s| if count > 0.0 { (s / count) as f32 } else { 0.0 }).view())
}
