//! Some rows of a product, for steps that need a few fibres only, and the mean of what all have.

use datamodel::{Fiberflat, Frame, Sky};
use ndarray::{Array2, Axis};
use numerics::Resolution;

/// The rows of a fibre flat.
pub fn fiberflat_rows(flat: &Fiberflat, rows: &[usize]) -> Fiberflat {
    Fiberflat {
        header: flat.header.clone(),
        wave: flat.wave.clone(),
        fiberflat: flat.fiberflat.select(Axis(0), rows),
        ivar: flat.ivar.select(Axis(0), rows),
        mask: flat.mask.select(Axis(0), rows),
        meanspec: flat.meanspec.clone(),
        fibermap: flat.fibermap.as_ref().map(|m| m.select(rows)),
    }
}

/// The rows of a sky model.
pub fn sky_rows(sky: &Sky, rows: &[usize]) -> Sky {
    Sky {
        header: sky.header.clone(),
        wave: sky.wave.clone(),
        sky: sky.sky.select(Axis(0), rows),
        ivar: sky.ivar.select(Axis(0), rows),
        mask: sky.mask.select(Axis(0), rows),
        stat_ivar: None,
        throughput_correction: None,
    }
}

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
