//! Light between the lines: a smooth spectrum of every fibre, taken off before the spots are fitted.

use crate::model::Model;
use crate::patch::Patch;
use numerics::{NumericsError, SymmetricBand, legendre};
use psf::GaussHermite;

/// Half width across the trace of the pixels that are used, pixels.
const HALF: usize = 3;
/// Half size of the box around every line that is left out, pixels.
const LINE: (usize, usize) = (HALF, 9);
/// Wavelengths at which traces and profiles are evaluated; in between they are interpolated.
const NODES: usize = 65;
/// Rounds of clipping and its threshold in sigmas: lines that are in no list and cosmic rays.
const ROUNDS: usize = 4;
const CLIP: f64 = 4.0;
/// Fewest rows of a fibre that determine its continuum.
const LEAST_ROWS: usize = 200;

/// A fibre's continuum in one row: place in the patch of its profile, profile, reduced wavelength.
struct Row {
    first: usize,
    profile: Vec<f64>,
    u: f64,
}

/// Takes the continua off the patch. Returns Legendre coefficients in wavelength, electrons per row,
/// `[nfiber, wave_terms]`; 0 for a fibre that shows too few rows.
///
/// # Errors
/// [`NumericsError`] if a fibre's rows do not determine its series.
pub fn take_off(patch: &mut Patch, model: &Model) -> Result<Vec<f64>, NumericsError> {
    let coeff = fit(patch, model)?;
    patch.take_off(&light(patch, model, &coeff));
    Ok(coeff)
}

fn fit(patch: &Patch, model: &Model) -> Result<Vec<f64>, NumericsError> {
    let free = beside_lines(patch, model);
    let nodes = nodes(model);
    let mut all = Vec::with_capacity(model.nfiber * model.grid.wave_terms);
    for fiber in 0..model.nfiber {
        let rows: Vec<Row> = rows(patch, &nodes, fiber).filter(|r| free[r.first + r.profile.len() / 2]).collect();
        all.extend(series(patch, &free, &rows, model.grid.wave_terms)?);
    }
    Ok(all)
}

/// Light of the continua in every pixel of the patch, electrons.
fn light(patch: &Patch, model: &Model, coeff: &[f64]) -> Vec<f64> {
    let mut image = vec![0.0; patch.data.len()];
    let nodes = nodes(model);
    for (fiber, series) in coeff.chunks_exact(model.grid.wave_terms).enumerate() {
        for row in rows(patch, &nodes, fiber) {
            let level = legendre::evaluate(series, row.u);
            image[row.first..].iter_mut().zip(&row.profile).for_each(|(o, p)| *o += level * p);
        }
    }
    image
}

/// The model at wavelengths evenly spread over the traces' range.
fn nodes(model: &Model) -> Model {
    let (min, max) = model.grid.trace_range;
    model.at((0..NODES).map(|i| min + (max - min) * i as f64 / (NODES - 1) as f64).collect())
}

/// Good pixels that no line of the list reaches.
fn beside_lines(patch: &Patch, model: &Model) -> Vec<bool> {
    let mut free = patch.good.clone();
    for spot in 0..model.active.len() {
        let centre = model.centre(spot / model.nline(), spot % model.nline());
        let Some(window) = patch.window(centre, LINE) else { continue };
        patch.rows(window).for_each(|range| free[range].fill(false));
    }
    free
}

/// Rows of the patch that a fibre crosses, with its profile across them.
fn rows<'a>(patch: &'a Patch, nodes: &'a Model, fiber: usize) -> impl Iterator<Item = Row> + 'a {
    let places: Vec<(f64, f64)> = (0..NODES).map(|n| nodes.centre(fiber, n)).collect();
    let (min, max) = nodes.grid.shape_range;
    (1..NODES).flat_map(move |n| {
        let ((xa, ya), (xb, yb)) = (places[n - 1], places[n]);
        let shape = across(&nodes.spot_shape(fiber, n));
        let (first, end) = (ya.ceil().max(0.0) as usize, (yb.ceil().max(0.0) as usize).min(patch.ny));
        (first..end).filter_map(move |y| {
            let t = (y as f64 - ya) / (yb - ya);
            let x = xa + t * (xb - xa);
            let window = patch.window((x, y as f64), (HALF, 0))?;
            let wave = nodes.waves[n - 1] + t * (nodes.waves[n] - nodes.waves[n - 1]);
            let corner = (patch.corner(window).0, 0);
            Some(Row {
                first: y * patch.nx + window.x,
                profile: shape.integrate((x, 0.0), corner, (window.nx, 1)),
                u: legendre::reduced(wave, min, max),
            })
        })
    })
}

/// A spot summed along the dispersion: the terms of order 0 in y, so narrow that all light falls in one row.
fn across(spot: &GaussHermite) -> GaussHermite {
    let coeff = spot.coeff[..=spot.degree.0].to_vec();
    GaussHermite { sigma: (spot.sigma.0, 0.05), degree: (spot.degree.0, 0), coeff, tail: None }
}

/// Least squares of a fibre's rows, pixels clipped that are far off.
fn series(patch: &Patch, free: &[bool], rows: &[Row], terms: usize) -> Result<Vec<f64>, NumericsError> {
    let mut coeff = vec![0.0; terms];
    if rows.len() < LEAST_ROWS {
        return Ok(coeff);
    }
    for round in 0..ROUNDS {
        let mut normal = SymmetricBand::zeros(terms, terms - 1);
        let mut rhs = vec![0.0; terms];
        for row in rows {
            let basis = legendre::polynomials(row.u, terms);
            let level: f64 = basis.iter().zip(&coeff).map(|(b, c)| b * c).sum();
            for (p, profile) in (row.first..).zip(&row.profile).filter(|(p, _)| free[*p]) {
                let variance = patch.noise[p] + (level * profile).max(0.0);
                if round > 0 && (patch.data[p] - level * profile).powi(2) > CLIP * CLIP * variance {
                    continue;
                }
                for i in 0..terms {
                    let weighted = profile * basis[i] / variance;
                    rhs[i] += weighted * patch.data[p];
                    (0..=i).for_each(|j| normal.add(i, j, weighted * profile * basis[j]));
                }
            }
        }
        coeff = normal.cholesky()?.solve(&rhs);
    }
    Ok(coeff)
}
