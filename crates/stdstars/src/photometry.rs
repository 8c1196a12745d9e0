//! The model of a star in physical units: redshifted, dimmed by dust, scaled to its r magnitude.

use crate::{candidates::Candidate, fit::Fit};
use numerics::interp;
use templates::{StarGrid, dust, filters};

/// 1e-17 erg/s/cm2/Angstrom at the models' wavelengths.
pub fn normalised(star: &Candidate, fit: &Fit, models: &StarGrid) -> Vec<f64> {
    let mut rest = vec![0.0; models.wave.len()];
    for &(k, c) in &fit.coefficients {
        rest.iter_mut().zip(models.flux.row(k)).for_each(|(r, f)| *r += c * f);
    }
    let observed = |w: &f64| interp::linear(w / (1.0 + fit.z), &models.wave, &rest) * dust::transmission(star.ebv, *w);
    let flux: Vec<f64> = models.wave.iter().map(observed).collect();
    let model_mag = filters::DECAM_R.ab_magnitude(&models.wave, &flux);
    let scale = model_mag.map_or(0.0, |m| 10f64.powf(0.4 * (m - star.mag_r)));
    flux.into_iter().map(|f| f * scale).collect()
}
