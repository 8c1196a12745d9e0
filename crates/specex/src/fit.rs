//! The fit of one bundle, in stages: where the spots are, their widths, then their whole shape.

use crate::error::FitError;
use crate::light::{self, CORE, Light};
use crate::model::{AXES, Grid, Model, SIGMA_X, SIGMA_Y, TRACE_AXES};
use crate::patch::Patch;
use crate::solve::{self, Data, Free, Prior};
use crate::{align, continuum, light::measurable};
use datamodel::Image;
use numerics::robust;

/// First guess of a bundle, over the ranges of the [`Grid`].
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// Trace coefficients in x and y, each `[nfiber][trace_terms]`, pixels.
    pub traces: [Vec<Vec<f64>>; TRACE_AXES],
    /// Shape of the spots, as in [`Model`]; its Hermite terms fix what a trace means, see [`GAUSSIAN_FLOOR`].
    pub shape: Vec<f64>,
    /// Fibres that may be used.
    pub usable: Vec<bool>,
}

/// A fitted bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleFit {
    /// The parameters.
    pub model: Model,
    /// chi2 per pixel of the cores (5x5) with the model's variances.
    pub rchi2: f64,
    /// Pixels of the cores.
    pub ndata: usize,
    /// Parameters that were fitted, fluxes included.
    pub npar: usize,
    /// Fibres that showed light.
    pub alive: Vec<bool>,
    /// Lines that were used.
    pub lines: usize,
    /// Continuum of every fibre, as [`continuum::take_off`] gives it; empty where it was not asked for.
    pub continuum: Vec<f64>,
}

/// Half size of the spots' boxes when places and widths are fitted, and when the whole shape is.
const GAUSSIAN_HALF: (usize, usize) = (3, 3);
const FULL_HALF: (usize, usize) = (6, 5);
/// The latter with tails: the box that extractions use.
const TAIL_HALF: (usize, usize) = (8, 5);
/// Most light between the lines, as a fraction of that of the lines.
const MOST_CONTINUUM: f64 = 0.5;
/// Margin of the patch on either side of the outer traces, pixels.
const MARGIN: f64 = 9.0;
/// Fewest lines and fibres (a fraction) of a fit.
const LEAST_LINES: usize = 6;
const LEAST_FIBERS: f64 = 0.4;
/// A trace is the centre of the spot of the first guess's shape (a Gaussian after a bootstrap) that fits best where a
/// pixel's variance is the light in it plus this fraction of the spot's light. It fixes what GH-1-0 and GH-0-1
/// leave open; with this value, Gaussians fitted to the spots of two of DESI's r0 PSFs are within 0.007 pixel rms of their
/// traces.
const GAUSSIAN_FLOOR: f64 = 0.004;
/// Light of a spot in its brightest pixel.
const PEAK: f64 = 0.1;
/// Pixels are rejected beyond this many sigmas, the model being wrong by a fraction of the spot's peak.
const REJECT: f64 = 6.0;
/// Spots are dropped whose core is so many widths worse than the others of their line, or that bad before and after
/// places and widths were fitted (chi2 per pixel, the model being wrong by a tenth of the peak): a saturated line is bad
/// in all fibres.
const SPOT_REJECT: f64 = 5.0;
const HOPELESS: [f64; 2] = [6.0, 3.0];
/// Largest change of a place and of a width in one step, pixels.
const LARGEST_SHIFT: f64 = 0.7;
const LARGEST_WIDTH: f64 = 0.2;
/// A place may change by so much after the alignment, pixels.
const FARTHEST: f64 = 3.0;
/// Steps stop when the objective changes by less than this.
const SETTLED: f64 = 0.5;

/// Fits a bundle of `image`: lines (Angstrom) with a flag that says whether they may be fitted; `with_continuum` takes
/// off a smooth spectrum of every fibre.
///
/// # Errors
/// [`FitError`].
pub fn fit(
    image: &Image,
    grid: Grid,
    guess: &Guess,
    lines: &[(f64, bool)],
    with_continuum: bool,
) -> Result<BundleFit, FitError> {
    let mut fit = Fit::start(image, grid, guess, lines, with_continuum)?;
    fit.gaussian()?;
    fit.take_off_continuum()?;
    fit.full()?;
    fit.finish()
}

struct Fit {
    patch: Patch,
    model: Model,
    prior: Prior,
    /// Inverse variances of the pixels of the present stage.
    weight: Vec<f64>,
    half: (usize, usize),
    light: Light,
    fitted_line: Vec<bool>,
    /// The fibres' own coefficients after the alignment.
    aligned: Vec<f64>,
    /// The continuum that was taken off, if it is asked for.
    continuum: Option<Vec<f64>>,
}

impl Fit {
    fn start(
        image: &Image,
        grid: Grid,
        guess: &Guess,
        lines: &[(f64, bool)],
        with_continuum: bool,
    ) -> Result<Self, FitError> {
        let nfiber = guess.usable.len();
        let mut model = Model::new(grid, nfiber, lines.iter().map(|l| l.0).collect());
        model.shape.clone_from(&guess.shape);
        let own = grid.own_terms();
        for (axis, traces) in guess.traces.iter().enumerate() {
            for (fiber, series) in traces.iter().enumerate() {
                model.own[fiber * own..][grid.axis(axis)].copy_from_slice(series);
            }
        }
        let columns =
            || (0..nfiber).flat_map(|f| (0..lines.len()).map(move |l| (f, l))).map(|(f, l)| model.centre(f, l).0);
        let (low, high) = (columns().fold(f64::INFINITY, f64::min), columns().fold(f64::NEG_INFINITY, f64::max));
        let mut patch = Patch::new(image, (low - MARGIN) as i64, (high + MARGIN) as i64 + 1);
        let expected = lines.iter().filter(|l| l.1).count();
        for _ in 0..2 {
            let Some((dx, dy)) = align::shift(&patch, &model) else {
                return Err(FitError::NoLines { found: 0, expected, needed: LEAST_LINES });
            };
            log::debug!("shift of the bundle: {dx:.2} {dy:.2} pixels");
            for fiber in model.own.chunks_exact_mut(own) {
                fiber[grid.axis(0).start] += dx;
                fiber[grid.axis(1).start] += dy;
            }
        }
        let continuum = with_continuum.then(|| continuum::take_off(&mut patch, &model)).transpose()?;
        let light = light::measure(&patch, &model, &guess.usable);
        let prior = prior(&model);
        let fitted_line = lines.iter().map(|l| l.1).collect();
        let aligned = model.own.clone();
        let weight = vec![0.0; patch.data.len()];
        let half = GAUSSIAN_HALF;
        let mut fit = Self { patch, model, prior, weight, half, light, fitted_line, aligned, continuum };
        fit.check_light(expected)?;
        fit.choose_spots();
        Ok(fit)
    }

    /// What the continuum is off after places and widths were fitted.
    fn take_off_continuum(&mut self) -> Result<(), FitError> {
        if let Some(taken) = &mut self.continuum {
            let rest = continuum::take_off(&mut self.patch, &self.model)?;
            taken.iter_mut().zip(rest).for_each(|(t, r)| *t += r);
        }
        Ok(())
    }

    fn check_light(&self, expected: usize) -> Result<(), FitError> {
        if self.light.continuum > MOST_CONTINUUM {
            return Err(FitError::Continuum { percent: 100.0 * self.light.continuum });
        }
        let found = self.light.seen.iter().zip(&self.fitted_line).filter(|(s, f)| **s && **f).count();
        if found < LEAST_LINES {
            return Err(FitError::NoLines { found, expected, needed: LEAST_LINES });
        }
        let nfiber = self.model.nfiber;
        let live = self.light.alive.iter().filter(|a| **a).count();
        let needed = (LEAST_FIBERS * nfiber as f64).ceil() as usize;
        if live < needed { Err(FitError::FewFibers { live, nfiber, needed }) } else { Ok(()) }
    }

    /// Activates the spots that can be fitted and blinds the pixels of those that shine but cannot.
    fn choose_spots(&mut self) {
        let nl = self.model.nline();
        for spot in 0..self.model.active.len() {
            let (fiber, line) = (spot / nl, spot % nl);
            let shines = self.light.seen[line] && self.light.alive[fiber];
            self.model.flux[spot] = self.light.flux[spot];
            self.model.active[spot] =
                shines && self.fitted_line[line] && measurable(&self.patch, &self.model, fiber, line);
            if shines && !self.model.active[spot] {
                self.blind(fiber, line);
            }
        }
        // a spot that lost its core to a neighbour that cannot be fitted goes too
        for spot in 0..self.model.active.len() {
            let (fiber, line) = (spot / nl, spot % nl);
            if self.model.active[spot] && !measurable(&self.patch, &self.model, fiber, line) {
                self.model.active[spot] = false;
                self.blind(fiber, line);
            }
        }
    }

    fn blind(&mut self, fiber: usize, line: usize) {
        if let Some(window) = self.patch.window(self.model.centre(fiber, line), (3, 4)) {
            for range in self.patch.rows(window) {
                self.patch.good[range].fill(false);
            }
        }
    }

    /// Places and widths, the Hermite terms being those of the first guess.
    fn gaussian(&mut self) -> Result<(), FitError> {
        self.half = GAUSSIAN_HALF;
        self.reject(0.05);
        let traces = Free { axes: TRACE_AXES, shape: Vec::new() };
        self.iterate(&Free::default(), 1, GAUSSIAN_FLOOR)?;
        self.reject_spots(HOPELESS[0]);
        self.iterate(&traces, 4, GAUSSIAN_FLOOR)?;
        let widths = Free { axes: AXES, shape: vec![SIGMA_X, SIGMA_Y] };
        self.iterate(&widths, 3, GAUSSIAN_FLOOR)?;
        self.reject(0.02);
        self.reject_spots(HOPELESS[1]);
        self.iterate(&widths, 6, GAUSSIAN_FLOOR)
    }

    /// The whole shape, the widths being those of the Gaussian; then the places once more.
    fn full(&mut self) -> Result<(), FitError> {
        let grid = self.model.grid;
        let degree = grid.gh_degree;
        self.half = if grid.tails { TAIL_HALF } else { FULL_HALF };
        if degree < 2 {
            return Ok(());
        }
        let orders = (0..=degree).flat_map(|j| (0..=degree).map(move |i| (i, j)));
        let mut all: Vec<usize> = orders.filter(|o| *o != (0, 0)).map(|(i, j)| grid.hermite(i, j)).collect();
        all.extend(grid.tails.then(|| grid.tail()));
        let centred = all.iter().copied().filter(|p| *p != grid.hermite(1, 0) && *p != grid.hermite(0, 1)).collect();
        self.iterate(&Free { axes: 0, shape: all }, 3, 0.0)?;
        self.reject(0.005);
        self.iterate(&Free { axes: AXES, shape: centred }, 4, 0.0)
    }

    /// Gauss-Newton steps with weights from the present model, until the objective settles.
    fn iterate(&mut self, free: &Free, most: usize, floor: f64) -> Result<(), FitError> {
        for _ in 0..most {
            self.set_weights(floor);
            let data = Data { patch: &self.patch, weight: &self.weight, half: self.half };
            let before = solve::objective(&data, &self.model, &self.prior);
            let step = solve::step(&data, &self.model, free, &self.prior)?;
            let mut fraction = self.largest_fraction(&step);
            let mut after = f64::INFINITY;
            for _ in 0..5 {
                let trial = moved(&self.model, &step, fraction);
                after = solve::objective(&data, &trial, &self.prior);
                if after < before {
                    self.model = trial;
                    break;
                }
                fraction *= 0.5;
            }
            log::debug!("objective {before:.1} -> {after:.1}, fraction {fraction:.3}");
            if !after.is_finite() {
                return Err(FitError::Astray(format!("chi2 is {after}")));
            }
            if after > before - SETTLED {
                break;
            }
        }
        Ok(())
    }

    /// The fraction of a step that moves no spot and no width too far.
    fn largest_fraction(&self, step: &solve::Step) -> f64 {
        let trial = moved(&self.model, step, 1.0);
        let mut fraction = 1.0f64;
        for spot in (0..self.model.active.len()).filter(|s| self.model.active[*s]) {
            let (fiber, line) = (spot / self.model.nline(), spot % self.model.nline());
            let (a, b) = (self.model.centre(fiber, line), trial.centre(fiber, line));
            let far = (a.0 - b.0).abs().max((a.1 - b.1).abs());
            fraction = fraction.min(LARGEST_SHIFT / far.max(1e-9));
        }
        let terms = self.model.grid.basis_terms();
        for k in [SIGMA_X * terms, SIGMA_Y * terms] {
            fraction = fraction.min(LARGEST_WIDTH / step.shape[k].abs().max(1e-9));
        }
        fraction
    }

    /// Light of the brightest spot near each pixel of the stage, 0 for pixels that are not fitted.
    fn nearest_light(&self) -> Vec<f64> {
        let mut light = vec![0.0f64; self.patch.data.len()];
        let nl = self.model.nline();
        for spot in (0..self.model.active.len()).filter(|s| self.model.active[*s]) {
            let Some(window) = self.patch.window(self.model.centre(spot / nl, spot % nl), self.half) else { continue };
            for p in self.patch.rows(window).flatten() {
                light[p] = light[p].max(self.model.flux[spot].max(1.0));
            }
        }
        light
    }

    /// Variance: read noise (at least `floor` of the light of the spot) and the model's photons.
    fn set_weights(&mut self, floor: f64) {
        let image = self.patch.render(&self.model, self.half);
        let light = self.nearest_light();
        for p in 0..self.weight.len() {
            let fitted = self.patch.good[p] && light[p] > 0.0;
            let variance = self.patch.noise[p].max(floor * light[p]) + image[p].max(0.0);
            self.weight[p] = if fitted { 1.0 / variance } else { 0.0 };
        }
    }

    /// Blinds pixels that are far from the model, which may be wrong by `tolerance` of the spot's light.
    fn reject(&mut self, tolerance: f64) {
        let image = self.patch.render(&self.model, self.half);
        let light = self.nearest_light();
        let mut count = 0;
        for p in (0..light.len()).filter(|p| light[*p] > 0.0) {
            let variance = self.patch.noise[p] + image[p].max(0.0) + (tolerance * light[p]).powi(2);
            if self.patch.good[p] && (self.patch.data[p] - image[p]).powi(2) > REJECT * REJECT * variance {
                self.patch.good[p] = false;
                count += 1;
            }
        }
        log::debug!("{count} pixels rejected at {tolerance}");
        let nl = self.model.nline();
        for spot in 0..self.model.active.len() {
            if self.model.active[spot] && !measurable(&self.patch, &self.model, spot / nl, spot % nl) {
                self.model.active[spot] = false;
                self.blind(spot / nl, spot % nl);
            }
        }
    }

    /// chi2 and number of pixels of a spot's core, the model being wrong by a fraction of the peak.
    fn core_chi2(&self, image: &[f64], spot: usize, tolerance: f64) -> (f64, usize) {
        let nl = self.model.nline();
        let Some(window) = self.patch.window(self.model.centre(spot / nl, spot % nl), CORE) else { return (0.0, 0) };
        let error = (tolerance * PEAK * self.model.flux[spot]).powi(2);
        let good = self.patch.rows(window).flatten().filter(|p| self.patch.good[*p]);
        good.fold((0.0, 0), |(chi2, n), p| {
            let variance = self.patch.noise[p] + image[p].max(0.0) + error;
            (chi2 + (self.patch.data[p] - image[p]).powi(2) / variance, n + 1)
        })
    }

    /// Drops spots that are saturated, hit or blended.
    fn reject_spots(&mut self, hopeless: f64) {
        let image = self.patch.render(&self.model, self.half);
        let nl = self.model.nline();
        for line in 0..nl {
            let spots: Vec<usize> =
                (0..self.model.nfiber).map(|f| f * nl + line).filter(|s| self.model.active[*s]).collect();
            let chi2: Vec<f64> = spots
                .iter()
                .map(|s| self.core_chi2(&image, *s, 0.1))
                .map(|(chi2, n)| if n > 0 { chi2 / n as f64 } else { 0.0 })
                .collect();
            let (Some(level), Some(width)) = (robust::median(&chi2), robust::mad_sigma(&chi2)) else { continue };
            for (spot, value) in spots.iter().zip(&chi2) {
                if *value > (level + SPOT_REJECT * width.max(0.4)).min(hopeless) {
                    self.model.active[*spot] = false;
                    self.blind(spot / nl, spot % nl);
                }
            }
        }
    }

    fn finish(self) -> Result<BundleFit, FitError> {
        let image = self.patch.render(&self.model, self.half);
        let active: Vec<usize> = (0..self.model.active.len()).filter(|s| self.model.active[*s]).collect();
        let (chi2, ndata) =
            active.iter().map(|s| self.core_chi2(&image, *s, 0.0)).fold((0.0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        self.check()?;
        let nl = self.model.nline();
        let lines = (0..nl).filter(|l| active.iter().any(|s| s % nl == *l)).count();
        let live = self.light.alive.iter().filter(|a| **a).count();
        let npar = active.len()
            + live * self.model.grid.own_terms()
            + (self.model.grid.shapes() - 1) * self.model.grid.basis_terms();
        let mut model = self.model;
        follow_the_living(&mut model, &self.light.alive, &self.aligned);
        let rchi2 = chi2 / ndata.max(1) as f64;
        let continuum = self.continuum.unwrap_or_default();
        Ok(BundleFit { model, rchi2, ndata, npar, alive: self.light.alive, lines, continuum })
    }

    fn check(&self) -> Result<(), FitError> {
        let finite = [&self.model.own, &self.model.shape, &self.model.flux];
        if !finite.iter().all(|v| v.iter().all(|x| x.is_finite())) {
            return Err(FitError::Astray("a parameter is not a number".to_string()));
        }
        let nl = self.model.nline();
        let mut before = self.model.clone();
        before.own.clone_from(&self.aligned);
        for spot in (0..self.model.active.len()).filter(|s| self.model.active[*s]) {
            let (fiber, line) = (spot / nl, spot % nl);
            let (a, b) = (before.centre(fiber, line), self.model.centre(fiber, line));
            let far = (a.0 - b.0).hypot(a.1 - b.1);
            let sigma = self.model.spot_shape(fiber, line).sigma;
            let wave = self.model.waves[line];
            if far > FARTHEST {
                return Err(FitError::Astray(format!(
                    "fibre {fiber} of the bundle moved by {far:.1} pixels at {wave:.1} A"
                )));
            }
            if !(0.4..3.5).contains(&sigma.0) || !(0.4..3.5).contains(&sigma.1) {
                let text = format!(
                    "widths {:.2} and {:.2} pixels in fibre {fiber} of the bundle at {wave:.1} A",
                    sigma.0, sigma.1
                );
                return Err(FitError::Astray(text));
            }
        }
        Ok(())
    }
}

/// The model after a fraction of a step.
fn moved(model: &Model, step: &solve::Step, fraction: f64) -> Model {
    let mut trial = model.clone();
    let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += fraction * b);
    add(&mut trial.own, &step.own);
    add(&mut trial.shape, &step.shape);
    add(&mut trial.flux, &step.flux);
    trial
}

/// Weak prior around the present model: traces change smoothly, shapes vary slowly, fibres are alike.
fn prior(model: &Model) -> Prior {
    let grid = model.grid;
    let (trace, width) = ([2.0, 1.0, 0.5, 0.3, 0.2, 0.1], [0.05, 0.03, 0.02]);
    let sigma = |axis: usize, k: usize| {
        let sigmas: &[f64] = if axis < TRACE_AXES { &trace } else { &width };
        sigmas[k.min(sigmas.len() - 1)]
    };
    let own_sigma = (0..AXES).flat_map(|axis| (0..grid.axis(axis).len()).map(move |k| sigma(axis, k))).collect();
    let by_wave = |first: f64, k: usize| if k == 0 { first } else { 0.5 * first / k as f64 };
    let mut shape_sigma = Vec::with_capacity(model.shape.len());
    for parameter in 0..grid.shapes() {
        let first = match parameter {
            SIGMA_X | SIGMA_Y => 0.5,
            p if p == grid.tail() => 0.02,
            _ => 0.1,
        };
        for m in 0..grid.slit_terms {
            shape_sigma.extend((0..grid.wave_terms).map(|k| by_wave(first, k) * if m == 0 { 1.0 } else { 0.2 }));
        }
    }
    Prior { own: model.own.clone(), own_sigma, shape: model.shape.clone(), shape_sigma }
}

/// Gives fibres without light the change from the aligned guess that their neighbours had.
fn follow_the_living(model: &mut Model, alive: &[bool], aligned: &[f64]) {
    let own = model.grid.own_terms();
    for k in 0..own {
        let mut change: Vec<f64> = (0..alive.len()).map(|f| model.own[f * own + k] - aligned[f * own + k]).collect();
        numerics::interp::fill(&mut change, alive);
        for f in (0..alive.len()).filter(|f| !alive[*f]) {
            model.own[f * own + k] = aligned[f * own + k] + change[f];
        }
    }
}
