//! The fibres of a flat, and which of their bins can be used.

use crate::{Error, Params, lamp};
use datamodel::{Frame, mask::fiber};
use numerics::robust;

/// One fibre of the lamp's frame.
#[derive(Debug, Clone)]
pub struct FlatFiber {
    /// Row of the frame.
    pub row: usize,
    /// electron/Angstrom.
    pub flux: Vec<f64>,
    /// Inverse variance, 0 where masked or rejected.
    pub weight: Vec<f64>,
    /// Bins rejected so far.
    pub rejected: usize,
    /// Given up.
    pub dead: bool,
    /// Its flat, smooth.
    pub smooth: Vec<f64>,
}

impl FlatFiber {
    /// Rejects a bin; a fibre that has lost too many is dead.
    pub fn reject(&mut self, j: usize, params: &Params) {
        self.weight[j] = 0.0;
        self.rejected += 1;
        if self.rejected >= params.max_bad && !self.dead {
            log::warn!("the fibre in row {} has {} outlying bins and is left out", self.row, self.rejected);
            self.dead = true;
        }
    }

    fn level(&self) -> f64 {
        let good: Vec<f64> = self.flux.iter().zip(&self.weight).filter(|(_, w)| **w > 0.0).map(|(f, _)| *f).collect();
        robust::median(&good).unwrap_or(0.0)
    }
}

/// Fibres with data and a status that is good for a flat (the position does not matter), without the dark ones.
pub fn select(frame: &Frame) -> Result<Vec<FlatFiber>, Error> {
    let bad = frame.camera().map_or(0, |c| fiber::bad_for_flat(c.band));
    let status = frame.fibermap.fiberstatus();
    let no_fiber = |why| Error::NoFiber { total: frame.nspec(), why };
    let mut fibers: Vec<FlatFiber> = (0..frame.nspec())
        .filter(|&i| status[i] & bad == 0)
        .map(|row| {
            let flux = frame.flux.row(row).iter().map(|&f| f64::from(f)).collect();
            let smooth = vec![1.0; frame.wave.len()];
            FlatFiber { row, flux, weight: frame.good_ivar(row), rejected: 0, dead: false, smooth }
        })
        .filter(|f| f.weight.iter().any(|w| *w > 0.0))
        .collect();
    if fibers.is_empty() {
        return Err(no_fiber("every one is masked or has a bad FIBERSTATUS"));
    }
    // a dark fibre must not pull the median lamp down, even if most are dark
    let levels: Vec<f64> = fibers.iter().map(FlatFiber::level).collect();
    let bright = robust::percentile(&levels, 90.0).unwrap_or(0.0);
    if bright <= 0.0 {
        return Err(no_fiber("there is no light in any; is this a flat?"));
    }
    let mut levels = levels.iter();
    fibers.retain(|f| {
        let lit = levels.next().is_some_and(|l| *l > 0.1 * bright);
        if !lit {
            log::warn!("the fibre in row {} has no light and is left out", f.row);
        }
        lit
    });
    Ok(fibers)
}

/// Rejects bins that are out of range against the median lamp by more than 3 sigma, until there are none.
pub fn drop_out_of_range(fibers: &mut [FlatFiber], params: &Params) {
    let (low, high) = params.range;
    for _ in 0..params.max_iterations {
        let lamp = lamp::median(fibers, fibers.first().map_or(0, |f| f.flux.len()));
        let mut rejected = 0;
        for f in fibers.iter_mut().filter(|f| !f.dead) {
            for (j, &m) in lamp.iter().enumerate() {
                let (w, d) = (f.weight[j], f.flux[j]);
                let error = if w > 0.0 { 3.0 / w.sqrt() } else { continue };
                if m <= 0.0 || d < 0.0 && -d > error || d + error < low * m || d - error > high * m {
                    f.reject(j, params);
                    rejected += 1;
                }
            }
        }
        if rejected == 0 {
            return;
        }
    }
}
