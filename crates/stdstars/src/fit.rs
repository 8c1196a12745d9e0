//! The fit of one star: radial velocity with a model of its colour, the best model, its neighbours
//! interpolated.

use crate::{
    Params,
    calibration::Weights,
    candidates::Candidate,
    grid::Grid,
    masks,
    spectrum::{Positions, StarSpectrum},
};
use datamodel::Band;
use std::collections::HashMap;

/// The best model of a star.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Redshift, positive for a receding star.
    pub z: f64,
    /// K.
    pub teff: f64,
    /// log10 of the surface gravity in cm/s2.
    pub logg: f64,
    /// [Fe/H], dex.
    pub feh: f64,
    /// chi2 per degree of freedom.
    pub chi2dof: f64,
    /// Colour of the model in the star's bands, mag.
    pub color: f64,
    /// (model, weight): the star is the sum of the models' fluxes times these, in arbitrary units.
    pub coefficients: Vec<(usize, f64)>,
}

/// Steps in redshift of the search (30 km/s, a third of the resolution) and of its refinement.
const COARSE: f64 = 1e-4;
const FINE: f64 = 2e-5;

/// Error of a colour: photometry, the dust map, and the models' colours, mag.
const COLOR_ERROR: f64 = 0.03;

/// What is fitted: the arms with lines, their weights for velocity and for type.
struct Problem<'a> {
    grid: &'a Grid<'a>,
    /// Colour of the star, and of the models in the same bands, mag.
    color: f64,
    colors: &'a [f64],
    spectra: Vec<&'a StarSpectrum>,
    for_velocity: Vec<Weights>,
    for_type: Vec<Weights>,
}

/// Fits a star; `None` if no model has its colour, or the one that its lines lead to has not.
pub fn fit(star: &Candidate, grid: &Grid, params: &Params) -> Option<Fit> {
    // the red arm has telluric bands and hardly a line of a warm star; it is used where nothing else is
    let bluer: Vec<&StarSpectrum> = star.spectra.iter().filter(|s| s.band != Band::Z).collect();
    let spectra = if bluer.is_empty() { star.spectra.iter().collect() } else { bluer };
    let weights = |keep: fn(f64) -> bool| -> Vec<Weights> {
        spectra.iter().map(|s: &&StarSpectrum| s.weights(params.template_error, keep)).collect()
    };
    let colors = grid.colors(star.photometry.system);
    let problem = Problem {
        grid,
        color: star.photometry.color,
        colors,
        for_velocity: weights(|w| !masks::is_interstellar(w)),
        for_type: weights(|_| true),
        spectra,
    };
    let near = |k: &usize| (colors[*k] - problem.color).abs() <= params.delta_color;
    let window: Vec<usize> = (0..grid.norm.len()).filter(near).collect();
    let first = problem.typical(&window)?;
    let z = problem.velocity(first, -params.max_z, params.max_z, COARSE);
    let (best, _) = problem.best(&window, z)?;
    let z = problem.velocity(best, z - 10.0 * FINE, z + 10.0 * FINE, FINE);
    let (best, _) = problem.best(&window, z)?;
    let fit = problem.interpolated(best, z);
    ((fit.color - problem.color).abs() <= params.delta_color).then_some(fit)
}

impl Problem<'_> {
    /// A dwarf of the halo with the star's colour.
    fn typical(&self, window: &[usize]) -> Option<usize> {
        let distance = |k: usize| {
            let [_, g, m] = self.grid.node[k];
            let (logg, feh) = (self.grid.axes[1][g], self.grid.axes[2][m]);
            ((self.colors[k] - self.color) / 0.05).powi(2) + (logg - 4.0).powi(2) + (feh + 1.0).powi(2)
        };
        window.iter().copied().min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
    }

    /// Colour of a mixture of models.
    fn mean_color(&self, mixture: &[(usize, f64)]) -> f64 {
        mixture.iter().map(|&(k, c)| c * self.colors[k]).sum()
    }

    fn positions(&self, z: f64) -> Vec<Positions> {
        self.spectra.iter().map(|s| s.positions(self.grid.wave(), z)).collect()
    }

    fn project(&self, model: usize, positions: &[Positions]) -> Vec<Vec<f64>> {
        let model = self.grid.model(model);
        self.spectra.iter().zip(positions).map(|(s, p)| s.project(&model, p)).collect()
    }

    fn chi2(projected: &[Vec<f64>], weights: &[Weights]) -> f64 {
        projected.iter().zip(weights).map(|(m, w)| w.chi2(m)).sum()
    }

    /// chi2 of a model's colour against the star's.
    fn color_chi2(&self, color: f64) -> f64 {
        ((color - self.color) / COLOR_ERROR).powi(2)
    }

    /// Redshift of least chi2 in a range: the best of a scan, then a parabola.
    fn velocity(&self, model: usize, from: f64, to: f64, step: f64) -> f64 {
        let n = ((to - from) / step).round() as usize + 1;
        let z = |i: usize| from + step * i as f64;
        let chi2: Vec<f64> =
            (0..n).map(|i| Self::chi2(&self.project(model, &self.positions(z(i))), &self.for_velocity)).collect();
        let best = (0..n).min_by(|&a, &b| chi2[a].total_cmp(&chi2[b])).unwrap_or(0);
        if best == 0 || best + 1 == n {
            return z(best);
        }
        let (a, b, c) = (chi2[best - 1], chi2[best], chi2[best + 1]);
        let curvature = a - 2.0 * b + c;
        if curvature > 0.0 { z(best) + 0.5 * step * (a - c) / curvature } else { z(best) }
    }

    /// The model of least chi2 among those given.
    fn best(&self, window: &[usize], z: f64) -> Option<(usize, f64)> {
        let positions = self.positions(z);
        let chi2 =
            |k: usize| Self::chi2(&self.project(k, &positions), &self.for_type) + self.color_chi2(self.colors[k]);
        window.iter().map(|&k| (k, chi2(k))).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Interpolation between models: from the best one, steps to the best of the 26 neighbours in
    /// (Teff, log g, [Fe/H]) that are halved when none is better. Along an axis alone it would stall: a hotter
    /// star of more metals looks alike.
    fn interpolated(&self, best: usize, z: f64) -> Fit {
        let positions = self.positions(z);
        let mut cache: HashMap<usize, Vec<Vec<f64>>> = HashMap::new();
        let mut compute = |point: [f64; 3]| -> f64 {
            let Some(corners) = self.grid.interpolate(point) else { return f64::INFINITY };
            for &(k, _) in &corners {
                cache.entry(k).or_insert_with(|| self.project(k, &positions));
            }
            let spectra = Self::chi2(&mixture(&corners, &cache, self.spectra.len()), &self.for_type);
            spectra + self.color_chi2(self.mean_color(&corners))
        };
        // most neighbours of a point are those of the point before
        let mut known: HashMap<[u64; 3], f64> = HashMap::new();
        let mut evaluate = |point: [f64; 3]| *known.entry(point.map(f64::to_bits)).or_insert_with(|| compute(point));
        let mut point = self.grid.node[best].map(|i| i as f64);
        let mut chi2 = evaluate(point);
        let mut step = 0.5;
        while step > 0.02 {
            let trials = neighbours(point, step).map(|p| self.grid.clamp(p));
            let best = trials.map(|p| (evaluate(p), p)).min_by(|a, b| a.0.total_cmp(&b.0));
            match best {
                Some((value, trial)) if value < chi2 => (point, chi2) = (trial, value),
                _ => step *= 0.5,
            }
        }
        self.summary(point, chi2, z, best)
    }

    fn summary(&self, point: [f64; 3], chi2: f64, z: f64, best: usize) -> Fit {
        let corners = self.grid.interpolate(point).unwrap_or_else(|| vec![(best, 1.0)]);
        let degrees: f64 = self.spectra.iter().map(|s| s.ndata() as f64 - s.nfree() as f64).sum::<f64>() - 4.0;
        let parameter = |axis: usize| self.grid.parameter(axis, point[axis]);
        Fit {
            z,
            teff: parameter(0),
            logg: parameter(1),
            feh: parameter(2),
            chi2dof: chi2 / degrees.max(1.0),
            color: self.mean_color(&corners),
            coefficients: corners.iter().map(|&(k, c)| (k, c / self.grid.norm[k])).collect(),
        }
    }
}

/// The 26 points around one, a step away along one or more axes.
fn neighbours(point: [f64; 3], step: f64) -> impl Iterator<Item = [f64; 3]> {
    (0..27).filter(|k| *k != 13).map(move |k| {
        let sign = |digit: i32| f64::from(digit % 3 - 1);
        [point[0] + step * sign(k), point[1] + step * sign(k / 3), point[2] + step * sign(k / 9)]
    })
}

/// Weighted sum of projected models, spectrum by spectrum.
fn mixture(corners: &[(usize, f64)], cache: &HashMap<usize, Vec<Vec<f64>>>, nspectra: usize) -> Vec<Vec<f64>> {
    let mut sum: Vec<Vec<f64>> = vec![vec![]; nspectra];
    for (k, c) in corners {
        let Some(projected) = cache.get(k) else { continue };
        for (total, part) in sum.iter_mut().zip(projected) {
            total.resize(part.len(), 0.0);
            total.iter_mut().zip(part).for_each(|(t, p)| *t += c * p);
        }
    }
    sum
}
