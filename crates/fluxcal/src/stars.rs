//! The standard stars of a frame and their models on its wavelengths.

use crate::Error;
use datamodel::{Frame, StdStars};
use numerics::{Resolution, resample};

/// One standard star.
#[derive(Debug, Clone)]
pub struct Star {
    /// Global FIBER.
    pub fiber: i32,
    /// Row of the frame.
    pub row: usize,
    /// Rows sum to 1.
    pub resolution: Resolution,
    /// electron/Angstrom; as if the fibre were centred after [`Star::centre`].
    pub flux: Vec<f64>,
    /// Inverse variance, 0 where masked or rejected.
    pub weight: Vec<f64>,
    /// 1e-17 erg/s/cm2/Angstrom, before the resolution.
    pub model: Vec<f64>,
    /// Grey factor: light of the star in the fibre over that of the average star.
    pub scale: f64,
}

impl Star {
    /// Brings the flux to that of a centred fibre: times `p`, without weight if that is 0.
    pub fn centre(&mut self, p: f64) {
        self.flux.iter_mut().for_each(|f| *f *= p);
        self.weight.iter_mut().for_each(|w| *w = if p > 0.0 { *w / (p * p) } else { 0.0 });
    }
}

/// The stars of the model file that have data in this frame.
pub fn select(frame: &Frame, models: &StdStars) -> Result<Vec<Star>, Error> {
    check_coverage(frame, models)?;
    let rows = frame.fibermap.fibers();
    let mut stars = Vec::new();
    for (k, &fiber) in models.fibers.iter().enumerate() {
        let Some(row) = rows.iter().position(|f| *f == fiber) else { continue };
        let native: Vec<f64> = models.flux.row(k).iter().map(|&f| f64::from(f)).collect();
        let model = resample::resample_flux(&frame.wave, &models.wave, &native);
        let mut weight = calibrate::smooth_weight(&frame.good_ivar(row));
        weight.iter_mut().zip(&model).filter(|(_, m)| **m <= 0.0).for_each(|(w, _)| *w = 0.0);
        if weight.iter().any(|w| *w > 0.0) {
            let flux = frame.flux.row(row).iter().map(|&f| f64::from(f)).collect();
            stars.push(Star {
                fiber,
                row,
                resolution: unit_rows(frame.resolution_of(row)),
                flux,
                weight,
                model,
                scale: 1.0,
            });
        } else {
            log::warn!("standard star in fibre {fiber} has no good data");
        }
    }
    if stars.is_empty() {
        let fibers: Vec<String> = models.fibers.iter().map(i32::to_string).collect();
        return Err(Error::NoStar { models: models.fibers.len(), fibers: fibers.join(", ") });
    }
    if stars.len() < 3 {
        log::warn!("only {} standard stars: an outlier among them cannot be told", stars.len());
    }
    Ok(stars)
}

fn check_coverage(frame: &Frame, models: &StdStars) -> Result<(), Error> {
    let range = |w: &[f64]| (w.first().copied().unwrap_or(0.0), w.last().copied().unwrap_or(0.0));
    let (model, data) = (range(&models.wave), range(&frame.wave));
    if model.0 <= data.0 && model.1 >= data.1 {
        return Ok(());
    }
    let text = |(a, b): (f64, f64)| format!("{a:.1} to {b:.1}");
    Err(Error::Coverage { model: text(model), frame: text(data) })
}

/// The matrix with rows that sum to 1. At the ends of the range a row loses what lies beyond; this takes the
/// spectrum there to continue like the part that is seen.
fn unit_rows(mut resolution: Resolution) -> Resolution {
    let half = resolution.ndiag() / 2;
    let n = resolution.nwave();
    let sums = resolution.row_sums();
    for i in (0..half.min(n)).chain(n.saturating_sub(half)..n) {
        let sum = sums[i];
        for j in resolution.columns(i) {
            if sum > 0.0 {
                let value = resolution.get(i, j) / sum;
                resolution.set(i, j, value);
            }
        }
    }
    resolution
}
