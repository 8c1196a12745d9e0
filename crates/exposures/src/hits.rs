//! Bins that one exposure has and the others have not: cosmic rays that earlier steps missed.
//!
//! What is compared is the step from a bin to the next: an error of the flux scale or of the sky level, which exposures have
//! too, hardly changes it. Steps that scatter more than their errors allow (the chi2 over the exposures has a
//! probability below that of `nsig` sigma) lose the worst exposure until they do not, or two are left; both bins of a step
//! are dropped, because either may be the one that was hit.

use ndarray::{Array2, ArrayView1};
use numerics::robust;

/// Exposures without which nothing can be told.
const FEWEST: usize = 3;
/// A median chi2 of this times the expected one says that the exposures differ by more than noise (a variable object).
const VARIABLE: f64 = 2.0;

/// The bins `(exposure, bin)` to be left out. `flux` and `ivar` are `[exposure, bin]`; ivar 0 where there is nothing.
pub(crate) fn outliers(wave: &[f64], flux: &Array2<f64>, ivar: &Array2<f64>, nsig: f64) -> Vec<(usize, usize)> {
    let spectra: Vec<usize> = (0..ivar.nrows()).filter(|&k| ivar.row(k).iter().any(|w| *w > 0.0)).collect();
    if spectra.len() < FEWEST || wave.len() < 2 {
        return vec![];
    }
    let steps: Vec<Vec<Step>> = spectra.iter().map(|&k| steps(wave, flux.row(k), ivar.row(k))).collect();
    let at_bin = |j: usize| steps.iter().map(|s| s[j]).collect::<Vec<Step>>();
    let chi2s: Vec<f64> = (0..wave.len() - 1).map(|j| chi2(&at_bin(j), &vec![true; spectra.len()])).collect();
    let threshold = Threshold::new(&chi2s, spectra.len(), nsig);
    let mut found = vec![];
    for j in (0..chi2s.len()).filter(|&j| chi2s[j] > threshold.of(spectra.len())) {
        for k in worst(&at_bin(j), &threshold) {
            found.extend([(spectra[k], j), (spectra[k], j + 1)]);
        }
    }
    found
}

/// The difference of two bins and its inverse variance.
#[derive(Clone, Copy)]
struct Step {
    value: f64,
    ivar: f64,
}

/// The steps of a spectrum; bins without information are interpolated.
fn steps(wave: &[f64], flux: ArrayView1<f64>, ivar: ArrayView1<f64>) -> Vec<Step> {
    let good: Vec<usize> = (0..wave.len()).filter(|&j| ivar[j] > 0.0).collect();
    let known = |values: ArrayView1<f64>| -> Vec<f64> { good.iter().map(|&j| values[j]).collect() };
    let at: Vec<f64> = good.iter().map(|&j| wave[j]).collect();
    let filled = |values: ArrayView1<f64>| -> Vec<f64> {
        let inner = known(values);
        let fill = |j: usize| if ivar[j] > 0.0 { values[j] } else { interpolated(&at, &inner, wave[j]) };
        (0..wave.len()).map(fill).collect()
    };
    let (flux, ivar) = (filled(flux), filled(ivar));
    let step = |j: usize| Step { value: flux[j + 1] - flux[j], ivar: 1.0 / (1.0 / ivar[j] + 1.0 / ivar[j + 1]) };
    (0..wave.len() - 1).map(step).collect()
}

/// Linear between the points, constant beyond.
fn interpolated(x: &[f64], y: &[f64], at: f64) -> f64 {
    match x.partition_point(|v| *v < at) {
        0 => y[0],
        n if n == x.len() => y[n - 1],
        n => y[n - 1] + (y[n] - y[n - 1]) * (at - x[n - 1]) / (x[n] - x[n - 1]),
    }
}

/// chi2 of the kept steps about their mean.
fn chi2(steps: &[Step], kept: &[bool]) -> f64 {
    let mean = mean(steps, kept);
    steps.iter().zip(kept).filter(|(_, kept)| **kept).map(|(s, _)| s.ivar * (s.value - mean).powi(2)).sum()
}

fn mean(steps: &[Step], kept: &[bool]) -> f64 {
    let kept = steps.iter().zip(kept).filter(|(_, kept)| **kept);
    let (sum, weight) = kept.fold((0.0, 0.0), |(a, b), (s, _)| (a + s.ivar * s.value, b + s.ivar));
    sum / weight
}

/// The exposures that have to go.
fn worst(steps: &[Step], threshold: &Threshold) -> Vec<usize> {
    let mut kept = vec![true; steps.len()];
    let mut out = vec![];
    loop {
        let left = steps.len() - out.len();
        if left < FEWEST || chi2(steps, &kept) <= threshold.of(left) {
            return out;
        }
        let mean = mean(steps, &kept);
        let deviation = |k: usize| steps[k].ivar * (steps[k].value - mean).powi(2);
        let Some(k) = (0..steps.len()).filter(|k| kept[*k]).max_by(|&a, &b| deviation(a).total_cmp(&deviation(b)))
        else {
            return out;
        };
        kept[k] = false;
        out.push(k);
    }
}

/// The chi2 from which on a step is an outlier.
enum Threshold {
    /// That of noise, for 0, 1, 2 ... exposures.
    Noise(Vec<f64>),
    /// That of a variable object, whatever the number.
    Fixed(f64),
}

impl Threshold {
    fn new(chi2s: &[f64], exposures: usize, nsig: f64) -> Self {
        let median = robust::median(chi2s).unwrap_or(0.0);
        if median > VARIABLE * quantile(0.5, exposures - 1) {
            let high = robust::percentile(chi2s, 84.0).unwrap_or(median);
            return Self::Fixed(median + nsig * (high - median));
        }
        let tail = 0.5 * libm::erfc(nsig / std::f64::consts::SQRT_2);
        Self::Noise((0..=exposures).map(|n| if n < 2 { 0.0 } else { quantile(tail, n - 1) }).collect())
    }

    fn of(&self, exposures: usize) -> f64 {
        match self {
            Self::Noise(of) => of[exposures],
            Self::Fixed(chi2) => *chi2,
        }
    }
}

/// The chi2 of `freedom` degrees that is exceeded with probability `tail`.
fn quantile(tail: f64, freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while exceeded(high, freedom) > tail {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if exceeded(middle, freedom) > tail { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Probability that a chi2 of `freedom` degrees exceeds `x`, from those of one or two degrees by
/// Q(n + 2) = Q(n) + (x/2)^(n/2) exp(-x/2) / Gamma(n/2 + 1) (Abramowitz and Stegun 26.4.8).
fn exceeded(x: f64, freedom: usize) -> f64 {
    let half = 0.5 * x;
    let (mut q, mut n) = if freedom % 2 == 1 { (libm::erfc(half.sqrt()), 1) } else { ((-half).exp(), 2) };
    while n < freedom {
        let shape = 0.5 * n as f64;
        q += (shape * half.ln() - half - libm::lgamma(shape + 1.0)).exp();
        n += 2;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        // Abramowitz and Stegun, table 26.8
        for (tail, freedom, chi2) in [(0.05, 1, 3.84146), (0.05, 2, 5.99146), (0.001, 5, 20.515), (0.5, 10, 9.34182)] {
            assert!((quantile(tail, freedom) - chi2).abs() < 6e-4, "{tail} {freedom}: {}", quantile(tail, freedom));
        }
    }
}
