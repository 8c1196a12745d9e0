//! A spectrum at rest as a channel of a target shows it: the exact model, one spectrum at a time.

use crate::spectrum::{Channel, Grid};
use numerics::resample::integrate_linear;
use templates::{Igm, igm};

/// Transmission of the intergalactic medium towards redshift `z` in the bins of a grid.
pub fn transmission(grid: &Grid, igm: Igm, z: f64) -> Vec<f64> {
    grid.wave.iter().map(|&w| igm::transmission(igm, z, w)).collect()
}

/// The piecewise linear spectrum `flux` at rest wavelengths `wave`, moved to redshift `z`: its mean in each bin of the
/// channel, absorbed, through the resolution. Bins that it does not span get what it has there.
pub fn observe(channel: &Channel, wave: &[f64], flux: &[f64], z: f64, transmission: &[f64]) -> Vec<f64> {
    let edges = &channel.grid.edges;
    let at_rest: Vec<f64> = edges.iter().map(|e| e / (1.0 + z)).collect();
    let mut binned = integrate_linear(&at_rest, wave, flux);
    for ((b, e), t) in binned.iter_mut().zip(at_rest.windows(2)).zip(transmission) {
        *b *= t / (e[1] - e[0]);
    }
    channel.resolution.apply(&binned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basis::Basis, model::Data, spectrum::Target};
    use ndarray::Array2;
    use numerics::Resolution;
    use std::sync::Arc;
    use templates::{Method, Template};

    /// The normal equations of the fits, which are summed in another way, have the same model.
    #[test]
    fn the_model_is_that_of_the_fits() {
        let grid = Arc::new(Grid::new((0..200).map(|i| 3800.0 + 1.3 * f64::from(i)).collect()));
        let plane =
            Array2::from_shape_fn((5, 200), |(k, j)| [0.1f32, 0.2, 0.4, 0.2, 0.1][k] * (1.0 + 0.001 * j as f32));
        let resolution = Resolution::from_dia(plane.view());
        let flux: Vec<f64> = (0..200).map(|i| 1.0 + (0.3 * f64::from(i)).sin()).collect();
        let target = Target { id: 1, channels: vec![Channel { grid, flux, ivar: vec![1.0; 200], resolution }] };
        let wave: Vec<f64> = (0..3000).map(|i| 1000.0 + 0.2 * f64::from(i)).collect();
        let basis = Array2::from_shape_fn((1, 3000), |(_, i)| 2.0 + (wave[i] / 7.0).sin());
        let (z, igm) = (2.2, Igm::Calura12);
        let template = Template {
            spectype: "QSO".into(),
            subtype: String::new(),
            version: String::new(),
            source: String::new(),
            wave: wave.clone(),
            basis: basis.clone(),
            redshifts: vec![z],
            igm,
            method: Method::Pca,
            coefficients: ndarray::Array2::zeros((0, 0)),
        };
        let normal = Data::new(&target).normal(&Basis::new(template), z);
        let c = &target.channels[0];
        let seen = observe(c, &wave, &basis.row(0).to_vec(), z, &transmission(&c.grid, igm, z));
        let square: f64 = seen.iter().map(|m| m * m).sum();
        let product: f64 = seen.iter().zip(&c.flux).map(|(m, f)| m * f).sum();
        assert!((normal.matrix.get(0, 0) / square - 1.0).abs() < 1e-7);
        assert!((normal.rhs[0] / product - 1.0).abs() < 1e-7);
    }
}
