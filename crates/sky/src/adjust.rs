//! What a fibre sees differently: the airglow at its place in the field, its throughput, wavelength scale and
//! line width against those of flat and PSF, measured on the bright sky lines. To first order
//! `M = S + g L + a(λ) S + b(λ) S' + c(λ) S''` with the lines `L` of the sky `S`, the relative airglow `g` and
//! polynomials a, b (bins) and c (bins²) of low order.

use crate::{CommonSky, Params, fibers::SkyFiber, measure::Measurement, measure::Windows, prior::Prior};
use datamodel::Frame;
use numerics::{legendre, robust};
use rayon::prelude::*;

/// Throughput, shift, width.
pub const KINDS: usize = 3;
/// Lines that one more term of the polynomials takes, and most terms.
const LINES_PER_TERM: usize = 20;
const MOST_TERMS: usize = 3;
/// Width in bins of the median that tells lines from continuum: several bands of OH.
const CONTINUUM: usize = 201;

/// The adjustment of one fibre.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adjustment {
    /// Relative airglow and its variance.
    pub airglow: (f64, f64),
    /// Legendre coefficients over the range, kind by kind; empty for none.
    pub coefficients: Vec<f64>,
    /// Their variances.
    pub variances: Vec<f64>,
}

impl Adjustment {
    /// The adjusted sky of a fibre and the variance that the adjustment brings.
    pub fn apply(&self, sky: &[f64], basis: &Basis) -> (Vec<f64>, Vec<f64>) {
        let (mut model, mut variance) = (sky.to_vec(), vec![0.0; sky.len()]);
        let (airglow, error) = self.airglow;
        if airglow != 0.0 {
            for (j, share) in basis.line_share.iter().enumerate() {
                let line = share * sky[j];
                model[j] += airglow * line;
                variance[j] += error * line * line;
            }
        }
        if self.coefficients.iter().any(|c| *c != 0.0) {
            let varying: Vec<([usize; 2], (f64, f64))> = (0..self.coefficients.len())
                .map(|i| (basis.kind_and_term(i), (self.coefficients[i], self.variances[i])))
                .filter(|(_, (c, v))| *c != 0.0 || *v != 0.0)
                .collect();
            for j in 0..sky.len() {
                let (derivatives, p) = (derivatives(sky, j), basis.at(j));
                for ([kind, term], (c, v)) in &varying {
                    let t = derivatives[*kind] * p[*term];
                    model[j] += c * t;
                    variance[j] += v * t * t;
                }
            }
        }
        (model, variance)
    }
}

/// `S`, `S'` and `S''` in bin `j`: differences of fourth order, as a line is only a bin wide.
pub fn derivatives(sky: &[f64], j: usize) -> [f64; KINDS] {
    let last = sky.len() as isize - 1;
    let at = |k: isize| sky[(j as isize + k).clamp(0, last) as usize];
    let first = (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12.0;
    let second = (16.0 * (at(1) + at(-1)) - (at(2) + at(-2)) - 30.0 * at(0)) / 12.0;
    [sky[j], first, second]
}

/// What adjustments are made of, beside the sky itself.
pub struct Basis {
    /// Share of the lines in the sky of each bin: what exceeds its running median.
    line_share: Vec<f64>,
    /// Number of Legendre polynomials over the range of wavelengths, and their values bin by bin.
    terms: usize,
    values: Vec<f64>,
}

impl Basis {
    /// For a sky with `nlines` bright lines: as many terms as these can tell apart.
    pub fn new(sky: &[f64], nlines: usize) -> Self {
        let terms = (1 + nlines / LINES_PER_TERM).min(MOST_TERMS);
        let u = |j: usize| 2.0 * j as f64 / (sky.len().max(2) - 1) as f64 - 1.0;
        let continuum = robust::running_median(sky, &vec![true; sky.len()], CONTINUUM);
        let share = |(s, c): (&f64, f64)| if *s > c && c > 0.0 { 1.0 - c / s } else { 0.0 };
        Self {
            line_share: sky.iter().zip(continuum).map(share).collect(),
            terms,
            values: (0..sky.len()).flat_map(|j| legendre::polynomials(u(j), terms)).collect(),
        }
    }

    /// Number of polynomials.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// What coefficient `i` belongs to.
    pub fn kind_and_term(&self, i: usize) -> [usize; 2] {
        [i / self.terms, i % self.terms]
    }

    /// Their values in bin `j`.
    pub fn at(&self, j: usize) -> &[f64] {
        &self.values[j * self.terms..(j + 1) * self.terms]
    }
}

/// Adjustments of all fibres, measured around the lines at `peaks`; `None` if none varies significantly.
pub fn fit(
    frame: &Frame,
    common: &CommonSky,
    peaks: &[usize],
    basis: &Basis,
    params: &Params,
) -> Option<Vec<Adjustment>> {
    let windows = Windows::around(peaks, frame.wave.len());
    let measure = |f: usize, wanted: &[usize]| {
        let sky = frame.resolution_view(f).apply(&common.spectrum);
        Measurement::of(frame, f, &sky, &windows, basis, wanted)
    };
    let all: Vec<usize> = (0..KINDS * basis.terms()).collect();
    let measured: Vec<(usize, Measurement)> =
        common.fibers.par_iter().filter_map(|f| Some((f.row, measure(f.row, &all)?))).collect();
    let prior = Prior::of(frame, &measured, basis.terms(), params);
    if prior.is_none() {
        return None;
    }
    let varying = prior.varying();
    let of_fiber = |f: usize| {
        let airglow = prior.airglow(f);
        let own = if varying.is_empty() { None } else { measure(f, &varying) };
        own.map_or_else(
            || Adjustment { airglow, ..Adjustment::default() },
            |m| m.adjustment(&prior.variances, &varying, airglow),
        )
    };
    Some((0..frame.nspec()).into_par_iter().map(of_fiber).collect())
}

/// The sky fibres as they would be without their adjustment, nothing rejected yet.
pub fn corrected<'a>(
    frame: &Frame,
    common: &CommonSky<'a>,
    adjustments: &[Adjustment],
    basis: &Basis,
) -> Vec<SkyFiber<'a>> {
    let correct = |fiber: &SkyFiber<'a>| {
        let sky = fiber.resolution.apply(&common.spectrum);
        let (model, _) = adjustments[fiber.row].apply(&sky, basis);
        let flux = (0..sky.len()).map(|j| f64::from(frame.flux[(fiber.row, j)]) + sky[j] - model[j]).collect();
        SkyFiber { flux, weight: fiber.full_weight.clone(), ..fiber.clone() }
    };
    common.fibers.iter().map(correct).collect()
}

/// One line for the log: the largest adjustments.
pub fn describe(adjustments: &[Adjustment]) -> String {
    let largest = |value: &dyn Fn(&Adjustment) -> f64| adjustments.iter().map(|a| value(a).abs()).fold(0.0, f64::max);
    let first =
        |kind: usize| largest(&|a| a.coefficients.get(kind * a.coefficients.len() / KINDS).copied().unwrap_or(0.0));
    format!(
        "airglow up to {:.4}, throughput {:.4}, shift {:.4} bins, width {:.4} bins^2",
        largest(&|a| a.airglow.0),
        first(0),
        first(1),
        first(2)
    )
}
