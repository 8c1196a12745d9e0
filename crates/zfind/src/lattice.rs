//! Spectra on equal bins of log wavelength, where a redshift is a shift.

use crate::spectrum::Channel;
use numerics::LIGHT_KMS;

/// Bins of log10 wavelength: bin `k` is centred on `k * step`, for `first <= k < first + len`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    /// Width of a bin in dex.
    pub step: f64,
    /// Number of the first bin.
    pub first: i64,
    /// Number of bins.
    pub len: usize,
}

impl Lattice {
    /// The bins that cover wavelengths `range` (Angstrom).
    pub fn covering(range: (f64, f64), step: f64) -> Self {
        let first = (range.0.log10() / step).floor() as i64;
        let last = (range.1.log10() / step).ceil() as i64;
        Self { step, first, len: (last - first + 1).max(1) as usize }
    }

    /// Centre of bin `first + i`, Angstrom.
    pub fn wave(&self, i: usize) -> f64 {
        10f64.powf((self.first + i as i64) as f64 * self.step)
    }

    /// Adds a channel's weights, and weights times flux, to the bins that its own bins overlap.
    pub fn spread(&self, channel: &Channel, weight: &mut [f64], weighted_flux: &mut [f64]) {
        // position of an edge in bins, bin i spanning i .. i + 1
        let inverse = 1.0 / (self.step * std::f64::consts::LN_10);
        let position = |ln: f64| (ln * inverse - self.first as f64 + 0.5).clamp(0.0, self.len as f64);
        for (i, (&w, &f)) in channel.ivar.iter().zip(&channel.flux).enumerate().filter(|(_, (w, _))| **w > 0.0) {
            let (low, high) = (position(channel.grid.ln_edges[i]), position(channel.grid.ln_edges[i + 1]));
            if high <= low {
                continue;
            }
            for k in low as usize..(high.ceil() as usize).min(self.len) {
                let part = (high.min(k as f64 + 1.0) - low.max(k as f64)) / (high - low);
                weight[k] += w * part;
                weighted_flux[k] += w * f * part;
            }
        }
    }
}

/// Resolution of a channel: the rms width of its matrix's rows, km/s, in the mean over the range.
pub fn velocity_width(channel: &Channel) -> f64 {
    let (r, wave) = (&channel.resolution, &channel.grid.wave);
    let nbin = wave.len();
    let mut widths = Vec::new();
    for i in (1..16).map(|k| k * nbin / 16).filter(|&i| i > 0 && i + 1 < nbin) {
        let (mut sum, mut moment) = (0.0, 0.0);
        for j in r.columns(i) {
            sum += r.get(i, j);
            moment += r.get(i, j) * (wave[j] - wave[i]).powi(2);
        }
        if sum > 0.5 && moment >= 0.0 {
            widths.push((moment / sum).sqrt() / wave[i] * LIGHT_KMS);
        }
    }
    if widths.is_empty() { 0.0 } else { widths.iter().sum::<f64>() / widths.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::Grid;
    use numerics::Resolution;
    use std::sync::Arc;

    fn channel() -> Channel {
        let grid = Arc::new(Grid::new((0..500).map(|i| 4000.0 + 0.8 * f64::from(i)).collect()));
        let ivar: Vec<f64> = (0..500).map(|i| f64::from(i % 7)).collect();
        let flux = (0..500).map(|i| (f64::from(i) / 9.0).sin()).collect();
        let mut resolution = Resolution::zeros(11, 500);
        for i in 0..500usize {
            let weights: Vec<f64> =
                resolution.columns(i).map(|j| (-0.5 * ((i as f64 - j as f64) / 1.3).powi(2)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (j, w) in resolution.columns(i).zip(weights) {
                resolution.set(i, j, w / sum);
            }
        }
        Channel { grid, flux, ivar, resolution }
    }

    #[test]
    fn weights_are_conserved_and_stay_where_they_are() {
        let c = channel();
        let lattice = Lattice::covering((3990.0, 4410.0), 5e-5);
        let (mut w, mut wf) = (vec![0.0; lattice.len], vec![0.0; lattice.len]);
        lattice.spread(&c, &mut w, &mut wf);
        let total: f64 = c.ivar.iter().sum();
        assert!((w.iter().sum::<f64>() - total).abs() < 1e-9 * total);
        let mean = |x: f64, s: f64| x / s;
        let on_lattice: f64 = w.iter().enumerate().map(|(i, w)| w * lattice.wave(i)).sum();
        let on_grid: f64 = c.ivar.iter().zip(&c.grid.wave).map(|(w, l)| w * l).sum();
        assert!((mean(on_lattice, total) - mean(on_grid, total)).abs() < 0.01);
        let expected: f64 = c.ivar.iter().zip(&c.flux).map(|(w, f)| w * f).sum();
        assert!((wf.iter().sum::<f64>() - expected).abs() < 1e-9);
    }

    #[test]
    fn the_width_is_that_of_the_resolution_matrix() {
        // 1.3 bins of 0.8 Angstrom about 4200 Angstrom
        let expected = 1.3 * 0.8 / 4200.0 * LIGHT_KMS;
        assert!((velocity_width(&channel()) / expected - 1.0).abs() < 0.01);
    }
}
