//! The star models as a grid in (Teff, log g, [Fe/H]).

use crate::{Error, photometry::System, spectrum::Model};
use rayon::prelude::*;
use std::{collections::HashMap, sync::OnceLock};
use templates::StarGrid;

/// The models with their place in the grid and colour.
#[derive(Debug, Clone)]
pub struct Grid<'a> {
    grid: &'a StarGrid,
    /// Running integral of each model's flux, made when it is first asked for: most are of no star's colour.
    integrals: Vec<OnceLock<Vec<f64>>>,
    /// Mean flux that each was divided by.
    pub norm: Vec<f64>,
    /// Colour of each in the bands of each photometric system that is used, AB mag; NaN where the model does not cover
    /// the bands.
    colors: [Vec<f64>; 3],
    /// Values of Teff (K), log g, [Fe/H] that occur, ascending.
    pub axes: [Vec<f64>; 3],
    /// Indices on the axes of each model.
    pub node: Vec<[usize; 3]>,
    at: HashMap<[usize; 3], usize>,
}

/// Wavelengths in Angstrom over which the models are normalised.
const NORM_RANGE: (f64, f64) = (5500.0, 6500.0);

impl<'a> Grid<'a> {
    /// From the models, with the colours of these photometric systems.
    ///
    /// # Errors
    /// [`Error::Grid`] if there is none, or none covers the normalisation range.
    pub fn new(grid: &'a StarGrid, systems: &[System]) -> Result<Self, Error> {
        let bins = grid.wave.partition_point(|w| *w < NORM_RANGE.0)..grid.wave.partition_point(|w| *w < NORM_RANGE.1);
        if grid.teff.is_empty() || bins.is_empty() {
            return Err(Error::Grid("no model covers 5500 to 6500 Angstrom"));
        }
        let mean = |k: usize| bins.clone().map(|j| grid.flux[(k, j)]).sum::<f64>() / bins.len() as f64;
        let norm: Vec<f64> = (0..grid.teff.len()).map(mean).collect();
        if norm.iter().any(|n| !(*n > 0.0 && n.is_finite())) {
            return Err(Error::Grid("a model has no flux between 5500 and 6500 Angstrom"));
        }
        let colors = System::ALL.map(|system| {
            let models = if systems.contains(&system) { norm.len() } else { 0 };
            let [blue, red] = system.color_bands().map(|filter| filter.on(&grid.wave));
            let color = |k: usize| {
                let flux = grid.flux.row(k).to_vec();
                blue.ab_magnitude(&flux).zip(red.ab_magnitude(&flux)).map_or(f64::NAN, |(b, r)| b - r)
            };
            (0..models).into_par_iter().map(color).collect()
        });
        let axes = [&grid.teff, &grid.logg, &grid.feh].map(|v| distinct(v));
        let index = |axis: usize, value: f64| axes[axis].iter().position(|a| *a == value).unwrap_or(0);
        let node: Vec<[usize; 3]> =
            (0..norm.len()).map(|k| [index(0, grid.teff[k]), index(1, grid.logg[k]), index(2, grid.feh[k])]).collect();
        let at = node.iter().enumerate().map(|(k, n)| (*n, k)).collect();
        Ok(Self { grid, integrals: vec![OnceLock::new(); norm.len()], colors, norm, axes, node, at })
    }

    /// Vacuum Angstrom.
    pub fn wave(&self) -> &[f64] {
        &self.grid.wave
    }

    /// A model, brought to a mean of 1 around r.
    pub fn model(&self, k: usize) -> Model<'_> {
        let flux = self.grid.flux.row(k);
        let flux = flux.to_slice().unwrap_or_default();
        let integral = self.integrals[k].get_or_init(|| running_integral(&self.grid.wave, flux));
        Model { flux, integral, scale: 1.0 / self.norm[k] }
    }

    /// Models and weights (sum 1) of the interpolation at a point in units of the axes' indices: of the second order along each
    /// axis. Lines are far from linear in metals and temperature: mixtures of two models have lines that no star between them has.
    /// Where a model that it needs is not in the grid it is of the first order, `None` if one of those is not there either.
    pub fn interpolate(&self, point: [f64; 3]) -> Option<Vec<(usize, f64)>> {
        self.product(point, parabola).or_else(|| self.product(point, line))
    }

    /// The product of the weights along the axes, of the nodes at which none is 0.
    fn product(&self, point: [f64; 3], along: fn(usize, f64) -> Vec<(usize, f64)>) -> Option<Vec<(usize, f64)>> {
        let weights: [_; 3] = std::array::from_fn(|axis| along(self.axes[axis].len(), point[axis]));
        let mut nodes = Vec::with_capacity(27);
        for &(i, a) in &weights[0] {
            for &(j, b) in &weights[1] {
                for &(k, c) in &weights[2] {
                    nodes.push((*self.at.get(&[i, j, k])?, a * b * c));
                }
            }
        }
        Some(nodes)
    }

    /// The nearest point within the grid.
    pub fn clamp(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| point[axis].clamp(0.0, (self.axes[axis].len() - 1) as f64))
    }

    /// Colours of the models in a photometric system.
    pub fn colors(&self, system: System) -> &[f64] {
        &self.colors[system as usize]
    }

    /// Teff, log g or [Fe/H] at a point on its axis.
    pub fn parameter(&self, axis: usize, point: f64) -> f64 {
        let index: Vec<f64> = (0..self.axes[axis].len()).map(|i| i as f64).collect();
        numerics::interp::linear(point, &index, &self.axes[axis])
    }
}

/// Weights other than 0 of the nodes 0 to n - 1 in the parabola through the three around `x`; of a straight line with fewer.
fn parabola(n: usize, x: f64) -> Vec<(usize, f64)> {
    if n < 3 {
        return line(n, x);
    }
    let middle = (x.round().max(1.0) as usize).min(n - 2);
    let u = x - middle as f64;
    let weights = [(middle - 1, 0.5 * u * (u - 1.0)), (middle, 1.0 - u * u), (middle + 1, 0.5 * u * (u + 1.0))];
    weights.into_iter().filter(|w| w.1 != 0.0).collect()
}

/// The same of the straight line through the two around `x`.
fn line(n: usize, x: f64) -> Vec<(usize, f64)> {
    let low = (x.floor().max(0.0) as usize).min(n.saturating_sub(2));
    let u = x - low as f64;
    [(low, 1.0 - u), (low + 1, u)].into_iter().filter(|w| w.1 != 0.0).collect()
}

/// Integral of the broken line through `(wave, flux)` up to each point.
pub fn running_integral(wave: &[f64], flux: &[f64]) -> Vec<f64> {
    let mut integral = vec![0.0; wave.len()];
    for i in 1..wave.len() {
        integral[i] = integral[i - 1] + 0.5 * (flux[i] + flux[i - 1]) * (wave[i] - wave[i - 1]);
    }
    integral
}

fn distinct(values: &[f64]) -> Vec<f64> {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    v.dedup();
    v
}
