//! Several spectra of one target become one channel for each grid of wavelengths.

use crate::spectrum::{Channel, Grid};
use numerics::Resolution;
use std::sync::Arc;

/// Adds up spectra of one target on one grid.
pub struct Coadd {
    grid: Arc<Grid>,
    /// Sum of weight times flux, then of weights, without and with normalisation of the resolution.
    weighted_flux: Vec<f64>,
    weight: Vec<f64>,
    resolution: Resolution,
    count: usize,
}

impl Coadd {
    /// Nothing yet; resolution matrices may have up to `ndiag` diagonals.
    pub fn new(grid: Arc<Grid>, ndiag: usize) -> Self {
        let n = grid.wave.len();
        let resolution = Resolution::zeros(ndiag, n);
        Self { grid, weighted_flux: vec![0.0; n], weight: vec![0.0; n], resolution, count: 0 }
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// Adds a spectrum; bins with a mask or without a finite flux and a positive ivar count nothing.
    /// `resolution(i, j)` is its matrix within the band.
    pub fn add(
        &mut self,
        flux: impl Fn(usize) -> f64,
        ivar: impl Fn(usize) -> f64,
        masked: impl Fn(usize) -> bool,
        resolution: impl Fn(usize, usize) -> f64,
    ) {
        self.count += 1;
        for i in 0..self.weight.len() {
            let (f, w) = (flux(i), ivar(i));
            let usable = f.is_finite() && w.is_finite() && w > 0.0 && !masked(i);
            if usable {
                self.weight[i] += w;
                self.weighted_flux[i] += w * f;
                for j in self.resolution.columns(i) {
                    let sum = self.resolution.get(i, j) + w * resolution(i, j);
                    self.resolution.set(i, j, sum);
                }
            }
        }
    }

    /// The mean weighted by the inverse variances; rows of the resolution are the weighted means of those
    /// of the spectra, and the identity where there is no weight.
    pub fn finish(mut self) -> Channel {
        let mut flux = self.weighted_flux;
        for (i, (f, &w)) in flux.iter_mut().zip(&self.weight).enumerate() {
            *f = if w > 0.0 { *f / w } else { 0.0 };
            for j in self.resolution.columns(i) {
                let value = self.resolution.get(i, j);
                self.resolution.set(i, j, if w > 0.0 { value / w } else { f64::from(i == j) });
            }
        }
        Channel { grid: self.grid, flux, ivar: self.weight, resolution: self.resolution }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_weighted_and_bad_bins_count_nothing() {
        let grid = Arc::new(Grid::new(vec![1.0, 2.0, 3.0, 4.0]));
        let mut coadd = Coadd::new(grid, 3);
        let triangle = |i: usize, j: usize| if i == j { 0.6 } else { 0.2 };
        let identity = |i: usize, j: usize| f64::from(i == j);
        coadd.add(|i| [1.0, 1.0, f64::NAN, 1.0][i], |_| 1.0, |i| i == 3, triangle);
        coadd.add(|_| 4.0, |i| [2.0, 0.0, 2.0, f64::NAN][i], |_| false, identity);
        let c = coadd.finish();
        assert_eq!(c.ivar, [3.0, 1.0, 2.0, 0.0]);
        assert_eq!(c.flux, [3.0, 1.0, 4.0, 0.0]);
        assert!((c.resolution.get(0, 0) - (0.6 + 2.0) / 3.0).abs() < 1e-15);
        assert!((c.resolution.get(1, 2) - 0.2).abs() < 1e-15);
        assert_eq!(c.resolution.get(2, 1), 0.0);
        assert_eq!((c.resolution.get(3, 3), c.resolution.get(3, 2)), (1.0, 0.0));
    }
}
