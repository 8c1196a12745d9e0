//! The fibres that look at the sky, and the weights of their data.

use crate::Error;
use datamodel::{Frame, mask::fiber};
use numerics::{View, robust};

/// One sky fibre of a flat-fielded frame.
#[derive(Debug, Clone)]
pub struct SkyFiber<'a> {
    /// Row of the frame.
    pub row: usize,
    /// Its resolution matrix.
    pub resolution: View<'a, f32>,
    /// electron/Angstrom.
    pub flux: Vec<f64>,
    /// Inverse variance from the frame, 0 where masked.
    pub ivar: Vec<f64>,
    /// Inverse variance without the bin's own noise, 0 where masked.
    pub full_weight: Vec<f64>,
    /// The same, 0 also where rejected.
    pub weight: Vec<f64>,
}

impl SkyFiber<'_> {
    /// Bins that have data but were rejected.
    pub fn rejected(&self) -> usize {
        self.ivar.iter().zip(&self.weight).filter(|(i, w)| **i > 0.0 && **w == 0.0).count()
    }
}

/// Rows of OBJTYPE SKY, good FIBERSTATUS (the position does not matter) and some data.
pub fn select(frame: &Frame) -> Result<Vec<SkyFiber<'_>>, Error> {
    let bad = frame.camera().map_or(0, |c| fiber::bad_for_flat(c.band) | fiber::BADFLAT);
    let (is_sky, status) = (frame.fibermap.is_sky(), frame.fibermap.fiberstatus());
    let labelled: Vec<usize> = (0..frame.nspec()).filter(|&i| is_sky[i]).collect();
    let mut fibers: Vec<SkyFiber> = labelled
        .iter()
        .filter(|&&i| status[i] & bad == 0)
        .map(|&i| {
            let ivar = frame.good_ivar(i);
            let flux = frame.flux.row(i).iter().map(|&f| f64::from(f)).collect();
            SkyFiber {
                row: i,
                resolution: frame.resolution_view(i),
                flux,
                full_weight: ivar.clone(),
                weight: vec![],
                ivar,
            }
        })
        .filter(|f| f.ivar.iter().any(|w| *w > 0.0))
        .collect();
    if fibers.is_empty() {
        return Err(Error::NoSkyFiber { labelled: labelled.len(), total: frame.nspec() });
    }
    let wanted = (frame.nspec() / 2).min(10);
    if fibers.len() < wanted {
        log::warn!("only {} usable sky fibres; {wanted} make a reliable sky", fibers.len());
    }
    smooth_weights(&mut fibers);
    fibers.iter_mut().for_each(|f| f.weight = f.full_weight.clone());
    Ok(fibers)
}

/// Weights that do not know a bin's own noise. The variance of the extraction follows the counts, noise
/// included, so that low bins would weigh more and the mean come out low. All sky fibres see the same sky:
/// the median inverse variance over them, scaled to each fibre, is free of that. Bins that lost much of their
/// information (pixels masked) keep their own.
fn smooth_weights(fibers: &mut [SkyFiber]) {
    if fibers.len() < 3 {
        return;
    }
    let nwave = fibers[0].ivar.len();
    let level = |f: &SkyFiber| {
        let good: Vec<f64> = f.ivar.iter().copied().filter(|w| *w > 0.0).collect();
        robust::median(&good).unwrap_or(0.0)
    };
    let levels: Vec<f64> = fibers.iter().map(level).collect();
    let mut column = Vec::with_capacity(fibers.len());
    for j in 0..nwave {
        column.clear();
        column.extend(fibers.iter().zip(&levels).filter(|(f, _)| f.ivar[j] > 0.0).map(|(f, l)| f.ivar[j] / l));
        let common = robust::median_in_place(&mut column).unwrap_or(0.0);
        for (f, level) in fibers.iter_mut().zip(&levels) {
            let expected = common * level;
            if f.ivar[j] > 0.5 * expected {
                f.full_weight[j] = expected;
            }
        }
    }
}
