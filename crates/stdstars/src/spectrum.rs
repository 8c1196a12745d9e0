//! A spectrum of a star, and how models would look in it.

use crate::calibration::{KNOT_SPACING, Weights, ncoefficients};
use crate::masks;
use datamodel::{Band, Frame};
use numerics::{Resolution, interp, robust};

/// Bins this many sigmas above the continuum are cosmic rays or sky; a sigma is the noise and what a running median lies below
/// the peaks between crowded lines, relative to it. (With the noise alone those peaks of bright stars, which tell the gravity,
/// were left out.)
const OUTLIER_NSIG: f64 = 3.0;
const PEAKS: f64 = 0.1;

/// One arm of one exposure of a star.
#[derive(Debug, Clone)]
pub struct StarSpectrum {
    /// Its arm.
    pub band: Band,
    /// Median S/N per bin.
    pub median_snr: f64,
    /// Bin edges, vacuum Angstrom, one more than bins.
    edges: Vec<f64>,
    /// 1 over the width of the bin that ends at each edge.
    per_bin: Vec<f64>,
    wave: Vec<f64>,
    flux: Vec<f64>,
    /// Inverse variance, 0 where the bin says nothing about the star.
    ivar: Vec<f64>,
    /// Smooth flux.
    continuum: Vec<f64>,
    resolution: Resolution,
}

impl StarSpectrum {
    /// The spectrum of a row of a flat-fielded, sky-subtracted frame.
    pub fn of(frame: &Frame, row: usize) -> Self {
        let flux: Vec<f64> = frame.flux.row(row).iter().map(|&f| f64::from(f)).collect();
        let mut ivar = calibrate::smooth_weight(&frame.good_ivar(row));
        let snr: Vec<f64> = flux.iter().zip(&ivar).filter(|(_, w)| **w > 0.0).map(|(f, w)| f * w.sqrt()).collect();
        let good: Vec<bool> = ivar.iter().map(|w| *w > 0.0).collect();
        let mut continuum = robust::running_median(&flux, &good, KNOT_SPACING);
        let known: Vec<bool> = continuum.iter().map(|c| c.is_finite()).collect();
        interp::fill(&mut continuum, &known);
        for j in 0..flux.len() {
            let sigma = (1.0 / ivar[j].max(f64::MIN_POSITIVE)).sqrt().hypot(PEAKS * continuum[j]);
            let high = flux[j] - continuum[j] > OUTLIER_NSIG * sigma;
            if high || continuum[j] <= 0.0 || !masks::is_clear(frame.wave[j]) {
                ivar[j] = 0.0;
            }
        }
        let edges = numerics::resample::bin_edges(&frame.wave);
        Self {
            band: frame.camera().map_or(Band::B, |c| c.band),
            median_snr: robust::median(&snr).unwrap_or(0.0),
            per_bin: [0.0].into_iter().chain(edges.windows(2).map(|e| 1.0 / (e[1] - e[0]))).collect(),
            edges,
            wave: frame.wave.clone(),
            resolution: frame.resolution_of(row),
            flux,
            ivar,
            continuum,
        }
    }

    /// Number of bins that count.
    pub fn ndata(&self) -> usize {
        self.ivar.iter().filter(|w| **w > 0.0).count()
    }

    /// Number of coefficients of the free calibration.
    pub fn nfree(&self) -> usize {
        ncoefficients(self.flux.len())
    }

    /// Where the bin edges fall on a model grid when the star recedes with redshift `z`.
    pub fn positions(&self, model_wave: &[f64], z: f64) -> Positions {
        let mut segment = 0;
        let at = |e: &f64| {
            let x = e / (1.0 + z);
            while segment + 2 < model_wave.len() && model_wave[segment + 1] <= x {
                segment += 1;
            }
            let (dx, width) = (x - model_wave[segment], model_wave[segment + 1] - model_wave[segment]);
            (segment, dx, 0.5 * dx * dx / width)
        };
        Positions { edges: self.edges.iter().map(at).collect() }
    }

    /// A model as this spectrum would show it without noise and calibration.
    pub fn project(&self, model: &Model, positions: &Positions) -> Vec<f64> {
        let mut before = 0.0;
        let mut mean = Vec::with_capacity(self.edges.len());
        for (&at, per_bin) in positions.edges.iter().zip(&self.per_bin) {
            let integral = model.integral_to(at);
            mean.push((integral - before) * per_bin * model.scale);
            before = integral;
        }
        // what lies before the first edge
        self.resolution.apply(&mean[1..])
    }

    /// Weights of a fit: noise and the models' relative error.
    pub fn weights(&self, template_error: f64, keep: impl Fn(f64) -> bool) -> Weights {
        let weight = |j: usize| match self.ivar[j] {
            w if w > 0.0 && keep(self.wave[j]) => 1.0 / (1.0 / w + (template_error * self.continuum[j]).powi(2)),
            _ => 0.0,
        };
        Weights::new(&self.flux, (0..self.flux.len()).map(weight).collect())
    }
}

/// Segments of a model grid, distances into them, and half their squares over the segments' widths; one for each bin edge.
#[derive(Debug, Clone)]
pub struct Positions {
    edges: Vec<(usize, f64, f64)>,
}

/// A model on a grid of wavelengths.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// Flux per Angstrom.
    pub flux: &'a [f64],
    /// Its integral up to each wavelength.
    pub integral: &'a [f64],
    /// Both are meant times this.
    pub scale: f64,
}

impl Model<'_> {
    /// Integral up to a place in a segment.
    fn integral_to(&self, (s, dx, half): (usize, f64, f64)) -> f64 {
        self.integral[s] + dx * self.flux[s] + half * (self.flux[s + 1] - self.flux[s])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::running_integral;
    use calibrate::testing::{Instrument, frame_of};
    use numerics::SymmetricBand;

    fn observed() -> (StarSpectrum, Vec<f64>, Vec<f64>) {
        let instrument = Instrument::new(1, 900, 11);
        let wave: Vec<f64> = (0..9000).map(|i| 3950.0 + 0.1 * f64::from(i)).collect();
        let line = |w: f64, l: f64| 0.5 * (-0.5 * ((w - l) / 5.0f64).powi(2)).exp();
        let flux: Vec<f64> =
            wave.iter().map(|w| (w / 4000.0).powi(2) * (1.0 - line(*w, 4200.0) - line(*w, 4500.0))).collect();
        let z = 0.001;
        let truth: Vec<f64> = instrument
            .wave
            .iter()
            .map(|w| 500.0 * (1.0 + (w - 4000.0) / 900.0) * numerics::interp::linear(w / (1.0 + z), &wave, &flux))
            .collect();
        (StarSpectrum::of(&frame_of(&instrument, &[truth], 10.0, 3), 0), flux, wave)
    }

    #[test]
    fn the_calibration_is_solved_exactly() {
        let (s, flux, wave) = observed();
        let integral = running_integral(&wave, &flux);
        let model = Model { flux: &flux, integral: &integral, scale: 1.0 };
        let m = s.project(&model, &s.positions(&wave, 0.001));
        let weights = s.weights(0.0, |_| true);
        let w = weights.values();
        // the same least squares with a dense matrix of B-splines, each the convolution of four boxes
        let n = s.nfree();
        let mut normal = SymmetricBand::zeros(n, n - 1);
        let mut rhs = vec![0.0; n];
        let spline = |k: usize, j: usize| {
            // the calibration is constant over 8 bins
            let x = ((8.0 * (j / 8) as f64 + 4.0) / KNOT_SPACING as f64 - k as f64 + 1.0).abs();
            if x < 1.0 { (4.0 - 6.0 * x * x + 3.0 * x * x * x) / 6.0 } else { (2.0 - x).max(0.0).powi(3) / 6.0 }
        };
        for j in 0..m.len() {
            for (a, r) in rhs.iter_mut().enumerate() {
                *r += w[j] * m[j] * spline(a, j) * s.flux[j];
                (0..=a).for_each(|b| normal.add(a, b, w[j] * m[j] * m[j] * spline(a, j) * spline(b, j)));
            }
        }
        let c = normal.cholesky().unwrap().solve(&rhs);
        let expected: f64 = (0..m.len())
            .map(|j| w[j] * (s.flux[j] - m[j] * (0..n).map(|k| c[k] * spline(k, j)).sum::<f64>()).powi(2))
            .sum();
        let chi2 = weights.chi2(&m);
        assert!((chi2 / expected - 1.0).abs() < 1e-6, "{chi2} {expected}");
        let dof = s.ndata() as f64 - n as f64;
        assert!((chi2 - dof).abs() < 5.0 * (2.0 * dof).sqrt(), "chi2 {chi2} for {dof}");
    }

    #[test]
    fn the_right_redshift_has_the_least_chi2() {
        let (s, flux, wave) = observed();
        let integral = running_integral(&wave, &flux);
        let model = Model { flux: &flux, integral: &integral, scale: 1.0 };
        let w = s.weights(0.0, |_| true);
        let chi2 = |z: f64| w.chi2(&s.project(&model, &s.positions(&wave, z)));
        let best = (0..101).map(|i| f64::from(i) * 4e-5 - 1e-3).min_by(|a, b| chi2(*a).total_cmp(&chi2(*b))).unwrap();
        assert!((best - 0.001).abs() < 1e-4, "{best}");
    }
}
