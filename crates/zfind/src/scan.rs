//! The coarse scan: chi2 of a template at every redshift of its grid at once.
//!
//! On bins of log wavelength a redshift is a shift, so that the normal matrix at all redshifts is the
//! cross-correlation of the weights with products of two vectors, and the right-hand side that of weights
//! times flux with the vectors. Both are taken by FFT, at the shifts of the redshift grid ([`spectra`](crate::spectra)).
//! The resolution is a constant Gaussian in velocity for each channel; the absorption of the intergalactic
//! medium depends on the observed wavelength between two Lyman lines (see [`forest`]), so that it is a factor
//! of the weights for the part of the template between them.

use crate::{
    basis::Basis,
    batch::Equations,
    forest,
    lattice::{Lattice, velocity_width},
    model::Normal,
    spectra::{Folded, Half},
    spectrum::Target,
};
use numerics::LIGHT_KMS;
use rustfft::{Fft, FftPlanner, num_complex::Complex};
use std::sync::{Arc, OnceLock};
use templates::Method;

/// Bins of the lattice in dex: galaxies have narrow lines; quasars and stars do with less.
const NARROW_STEP: f64 = 5e-5;
const BROAD_STEP: f64 = 1e-4;

/// Velocity widths that the vectors are smoothed by: `SMALLEST_WIDTH * 2^(c/2)` km/s for class `c`.
const SMALLEST_WIDTH: f64 = 20.0;
const WIDTH_CLASSES: usize = 9;

/// What the transform of the data depends on; templates that agree in it share the transform.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    lattice: Lattice,
    length: usize,
    igm: templates::Igm,
    segments: usize,
}

/// The transformed data: for each width class in use and each segment of the forest, the spectra of the
/// weights and of weights times flux.
#[derive(Debug)]
pub struct Transformed {
    layout: Layout,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    class: usize,
    segment: usize,
    weight: Half,
    weighted_flux: Half,
}

/// A template prepared for the scan of spectra within one range of wavelengths.
pub struct Scanner {
    layout: Layout,
    /// Redshift grid in units of the lattice: shift of the first sample, samples, shifts between samples.
    first_shift: i64,
    samples: usize,
    decimation: usize,
    /// Part of a bin by which the rest-frame lattice is offset.
    offset: f64,
    /// For each redshift of the template, its place among the samples.
    places: Vec<f64>,
    /// For each width class, made when first used: for each segment the spectra of all products and vectors.
    spectra: [OnceLock<Vec<Vec<Half>>>; WIDTH_CLASSES],
    forward: Arc<dyn Fft<f64>>,
    backward: Arc<dyn Fft<f64>>,
}

impl Scanner {
    /// Prepares a template for spectra within `range` (observed Angstrom).
    pub fn new(basis: &Basis, range: (f64, f64)) -> Self {
        let target_step = if basis.template.spectype == "GALAXY" { NARROW_STEP } else { BROAD_STEP };
        let x: Vec<f64> = basis.template.redshifts.iter().map(|z| (1.0 + z).log10()).collect();
        let (start, end) = (x.first().copied().unwrap_or(0.0), x.last().copied().unwrap_or(0.0));
        let uniform = equal_steps(&x);
        let decimation = uniform.map_or(1, |h| (h / target_step).round().max(1.0) as usize);
        let step = uniform.map_or(target_step, |h| h / decimation as f64);
        let first_shift = (start / step).floor() as i64;
        let offset = if uniform.is_some() { start - first_shift as f64 * step } else { 0.0 };
        let places: Vec<f64> = match uniform {
            Some(_) => (0..x.len()).map(|i| i as f64).collect(),
            None => x.iter().map(|x| x / step - first_shift as f64).collect(),
        };
        let samples = match uniform {
            Some(_) => x.len(),
            None => ((end / step).ceil() as i64 - first_shift + 1) as usize,
        };
        let lattice = Lattice::covering(range, step);
        let length = smooth_length(lattice.len + (samples - 1) * decimation, 2 * decimation);
        let mut planner = FftPlanner::new();
        let layout = Layout { lattice, length, igm: basis.template.igm, segments: 0 };
        let mut scanner = Self {
            layout,
            first_shift,
            samples,
            decimation,
            offset,
            places,
            spectra: Default::default(),
            forward: planner.plan_fft_forward(length),
            backward: planner.plan_fft_inverse(length / decimation),
        };
        let longest = scanner.rest_wave(0.0);
        scanner.layout.segments =
            1 + forest::coarse_limits(basis.template.igm).iter().filter(|l| longest < **l).count();
        scanner
    }

    /// Rest wavelength of place `i` of the vectors' lattice: every observed bin at every shift falls on one.
    fn rest_wave(&self, i: f64) -> f64 {
        let last_shift = self.first_shift + ((self.samples - 1) * self.decimation) as i64;
        let place = (self.layout.lattice.first - last_shift) as f64 + i;
        10f64.powf(place * self.layout.lattice.step - self.offset)
    }

    /// The data's transform, or the one that a template of the same layout has made before.
    pub fn transform(&self, target: &Target, made: &mut Vec<Arc<Transformed>>) -> Arc<Transformed> {
        if let Some(t) = made.iter().find(|t| t.layout == self.layout) {
            return t.clone();
        }
        let mut classes: Vec<usize> = target.channels.iter().map(|c| width_class(velocity_width(c))).collect();
        classes.sort_unstable();
        classes.dedup();
        let mut parts = Vec::new();
        for class in classes {
            let lattice = self.layout.lattice;
            let (mut weight, mut weighted_flux) = (vec![0.0; lattice.len], vec![0.0; lattice.len]);
            for channel in target.channels.iter().filter(|c| width_class(velocity_width(c)) == class) {
                lattice.spread(channel, &mut weight, &mut weighted_flux);
            }
            for segment in 0..self.layout.segments {
                parts.push(self.transform_segment(class, segment, &weight, &weighted_flux));
            }
        }
        let transformed = Arc::new(Transformed { layout: self.layout, parts });
        made.push(transformed.clone());
        transformed
    }

    /// Transforms two real sequences as one complex one.
    fn transform_segment(&self, class: usize, segment: usize, weight: &[f64], weighted_flux: &[f64]) -> Part {
        let length = self.layout.length;
        let mut buffer = vec![Complex::default(); length];
        for (i, (w, wf)) in weight.iter().zip(weighted_flux).enumerate() {
            let t = if segment == 0 || *w == 0.0 {
                1.0
            } else {
                forest::coarse_transmission(self.layout.igm, segment, self.layout.lattice.wave(i))
            };
            buffer[i] = Complex::new(w * t * t, wf * t);
        }
        self.forward.process(&mut buffer);
        let [weight, weighted_flux] = Half::of_two(&buffer);
        Part { class, segment, weight, weighted_flux }
    }

    /// chi2 (with the penalty) at each redshift of the template.
    pub fn scan(&self, basis: &Basis, data: &Transformed, null_chi2: f64) -> Vec<f64> {
        let correlations = self.correlate(basis, data);
        let chi2 = match basis.template.method {
            Method::Pca => {
                let (n, samples, penalised) = (basis.len(), self.samples, basis.oii());
                Equations { n, samples, rows: &correlations, null_chi2, penalised }.chi2()
            }
            Method::Nmf => self.non_negative(basis, &correlations, null_chi2),
        };
        self.places.iter().map(|&p| interpolate(&chi2, p)).collect()
    }

    /// chi2 of the samples with coefficients that are not negative.
    fn non_negative(&self, basis: &Basis, correlations: &[f64], null_chi2: f64) -> Vec<f64> {
        let n = basis.len();
        let at = |p: usize, i: usize| correlations[p * self.samples + i];
        let chi2 = |i: usize| {
            let mut normal = Normal::zeros(n, null_chi2);
            pairs(n).enumerate().for_each(|(p, (a, b))| normal.matrix.add(a, b, at(p, i)));
            (0..n).for_each(|a| normal.rhs[a] = at(n * (n + 1) / 2 + a, i));
            normal.solve(Method::Nmf).chi2
        };
        (0..self.samples).map(chi2).collect()
    }

    /// The correlations of the weights with every product of two vectors, then of weights times flux with
    /// every vector: `[product, sample]`.
    fn correlate(&self, basis: &Basis, data: &Transformed) -> Vec<f64> {
        let n = basis.len();
        let (npair, folded) = (n * (n + 1) / 2, self.layout.length / self.decimation);
        let mut out = vec![0.0; (npair + n) * self.samples];
        let mut buffer = vec![Complex::default(); folded];
        let mut scratch = vec![Complex::default(); self.backward.get_inplace_scratch_len()];
        let vectors: Vec<_> = data.parts.iter().map(|p| (p, &self.class_spectra(basis, p.class)[p.segment])).collect();
        let mut spectrum = Folded::new(folded);
        for first in (0..npair + n).step_by(2) {
            spectrum.clear();
            for (part, spectra) in &vectors {
                let pair = |p: usize| (if p < npair { &part.weight } else { &part.weighted_flux }, &spectra[p]);
                spectrum.add(pair(first), (first + 1 < npair + n).then(|| pair(first + 1)));
            }
            spectrum.write(&mut buffer);
            self.backward.process_with_scratch(&mut buffer, &mut scratch);
            let norm = 1.0 / self.layout.length as f64;
            for i in 0..self.samples {
                let value = buffer[self.samples - 1 - i] * norm;
                out[first * self.samples + i] = value.re;
                if first + 1 < npair + n {
                    out[(first + 1) * self.samples + i] = value.im;
                }
            }
        }
        out
    }

    /// Makes the spectra that the scan of a target needs, if they are not there yet.
    pub fn prepare(&self, basis: &Basis, target: &Target) {
        target.channels.iter().for_each(|c| _ = self.class_spectra(basis, width_class(velocity_width(c))));
    }

    /// Spectra of products and vectors smoothed to a width class, for each segment.
    fn class_spectra(&self, basis: &Basis, class: usize) -> &[Vec<Half>] {
        self.spectra[class].get_or_init(|| {
            let vectors = self.smoothed_vectors(basis, class_width(class));
            let limits = forest::coarse_limits(self.layout.igm);
            let place = |i: usize| limits.iter().filter(|l| self.rest_wave(i as f64) < **l).count();
            let segment_of: Vec<usize> = (0..vectors[0].len()).map(place).collect();
            (0..self.layout.segments).map(|s| self.segment_spectra(&vectors, &segment_of, s)).collect()
        })
    }

    /// Spectra of the products of two vectors, then of the vectors, in one segment.
    fn segment_spectra(&self, vectors: &[Vec<f64>], segment_of: &[usize], segment: usize) -> Vec<Half> {
        let n = vectors.len();
        let inside = |i: usize| segment_of[i] == segment;
        let products = pairs(n).map(|(a, b)| (a, Some(b)));
        let sequences: Vec<(usize, Option<usize>)> = products.chain((0..n).map(|a| (a, None))).collect();
        let value = |(a, b): (usize, Option<usize>), i: usize| vectors[a][i] * b.map_or(1.0, |b| vectors[b][i]);
        let mut buffer = vec![Complex::default(); self.layout.length];
        let mut spectra = Vec::with_capacity(sequences.len() + 1);
        for two in sequences.chunks(2) {
            buffer.fill(Complex::default());
            for i in (0..segment_of.len()).filter(|&i| inside(i)) {
                buffer[i] = Complex::new(value(two[0], i), two.get(1).map_or(0.0, |second| value(*second, i)));
            }
            self.forward.process(&mut buffer);
            spectra.extend(Half::of_two(&buffer));
        }
        spectra.truncate(sequences.len());
        spectra
    }

    /// The vectors on the rest-frame lattice, smoothed to an rms width in km/s.
    fn smoothed_vectors(&self, basis: &Basis, width: f64) -> Vec<Vec<f64>> {
        let len = self.layout.lattice.len + (self.samples - 1) * self.decimation;
        let (first, last) = basis.span();
        let mut vectors = vec![vec![0.0; len]; basis.len()];
        let (mut low, mut high) = (vec![0.0; basis.len()], vec![0.0; basis.len()]);
        let mut x_low = 0.0;
        for i in 0..=len {
            let x = self.rest_wave(i as f64 - 0.5).clamp(first, last);
            basis.integral(x, &mut high);
            if i > 0 && x > x_low {
                vectors.iter_mut().zip(high.iter().zip(&low)).for_each(|(v, (h, l))| v[i - 1] = (h - l) / (x - x_low));
            }
            std::mem::swap(&mut low, &mut high);
            x_low = x;
        }
        // the bin itself has an rms width of step / sqrt(12)
        let bin = self.layout.lattice.step * std::f64::consts::LN_10 * LIGHT_KMS;
        let sigma = (width * width - bin * bin / 12.0).max(0.0).sqrt() / bin;
        vectors.iter().map(|v| gaussian_smooth(v, sigma)).collect()
    }
}

/// Index pairs of a lower triangle, row by row.
fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(|a| (0..=a).map(move |b| (a, b)))
}

/// Width class of a channel.
fn width_class(width: f64) -> usize {
    let class = 2.0 * (width / SMALLEST_WIDTH).max(1.0).log2();
    (class.round() as usize).min(WIDTH_CLASSES - 1)
}

/// Velocity width of a class, km/s.
fn class_width(class: usize) -> f64 {
    SMALLEST_WIDTH * 2f64.powf(0.5 * class as f64)
}

/// The step of a sequence with equal steps (to a hundredth of a step over its length).
fn equal_steps(x: &[f64]) -> Option<f64> {
    let n = x.len();
    if n < 2 {
        return None;
    }
    let step = (x[n - 1] - x[0]) / (n - 1) as f64;
    let regular = x.iter().enumerate().all(|(i, v)| (v - x[0] - i as f64 * step).abs() < 0.01 * step);
    (regular && step > 0.0).then_some(step)
}

/// The smallest multiple of `unit` that is at least `n` and has no other prime factors than 2, 3 and 5.
fn smooth_length(n: usize, unit: usize) -> usize {
    let smooth = |mut m: usize| {
        for p in [2, 3, 5] {
            while m.is_multiple_of(p) {
                m /= p;
            }
        }
        m == 1
    };
    (n.div_ceil(unit)..).find(|&m| smooth(m)).map_or(n, |m| m * unit)
}

/// Linear interpolation at a fractional index.
fn interpolate(y: &[f64], place: f64) -> f64 {
    let i = (place.max(0.0) as usize).min(y.len().saturating_sub(2));
    let f = place - i as f64;
    if f == 0.0 || y.len() < 2 { y[i] } else { y[i] + f * (y[i + 1] - y[i]) }
}

/// Convolution with a Gaussian of `sigma` bins, cut at 4 sigma.
fn gaussian_smooth(y: &[f64], sigma: f64) -> Vec<f64> {
    let reach = (4.0 * sigma).ceil() as usize;
    let kernel: Vec<f64> = (0..=reach).map(|k| (-0.5 * (k as f64 / sigma.max(1e-9)).powi(2)).exp()).collect();
    let sum: f64 = kernel[0] + 2.0 * kernel[1..].iter().sum::<f64>();
    let mut padded = vec![0.0; y.len() + 2 * reach];
    padded[reach..reach + y.len()].copy_from_slice(y);
    let mut out: Vec<f64> = y.iter().map(|y| kernel[0] * y).collect();
    for (d, k) in kernel.iter().enumerate().skip(1) {
        let (before, after) = (&padded[reach - d..], &padded[reach + d..]);
        out.iter_mut().zip(before.iter().zip(after)).for_each(|(o, (b, a))| *o += k * (b + a));
    }
    out.iter_mut().for_each(|o| *o /= sum);
    out
}
