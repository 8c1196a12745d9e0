//! Bundles' fits put together as a PSF file.

use crate::model::Grid;
use crate::{BundleFit, FitError};
use datamodel::{GaussHermitePsf, psf::LegendreRows};
use ndarray::Array2;
use numerics::{NumericsError, legendre};
use std::collections::BTreeMap;

/// Half size of the spots that extractions evaluate, pixels.
const HALF_SIZE: (usize, usize) = (8, 5);
/// Rows that are fitted only if asked for, or never, with their neutral values (formats: PSF).
const FIXED: [(&str, f64); 6] =
    [("TAILAMP", 0.0), ("TAILCORE", 1.0), ("TAILXSCA", 1.0), ("TAILYSCA", 1.0), ("TAILINDE", 2.0), ("CONT", 0.0)];

/// Rows of the fibres of a bundle.
pub fn fibers(psf: &GaussHermitePsf, bundle: usize) -> Vec<usize> {
    (0..psf.bundle.len()).filter(|f| psf.bundle[*f] == bundle as i32).collect()
}

/// The first guess in the output's shape: all rows of the output, every fibre marked as skipped.
pub fn output(first: &GaussHermitePsf, x: LegendreRows, y: LegendreRows, grid: &Grid) -> GaussHermitePsf {
    let nfiber = first.nfiber();
    let terms = first.parameters.values().map(Array2::ncols).max().unwrap_or(1).max(grid.wave_terms);
    let degree = first.ghdeg.0.max(first.ghdeg.1).max(grid.gh_degree);
    let padded = |name: &str, neutral: f64| {
        let mut row = Array2::zeros((nfiber, terms));
        match first.parameters.get(name) {
            Some(known) => row.slice_mut(ndarray::s![.., ..known.ncols()]).assign(known),
            None => row.column_mut(0).fill(neutral),
        }
        row
    };
    let mut parameters: BTreeMap<String, Array2<f64>> = BTreeMap::new();
    for (name, neutral) in FIXED {
        parameters.insert(name.to_string(), padded(name, neutral));
    }
    for name in names(degree) {
        let neutral = if name.starts_with("GHSIG") || name == "GH-0-0" { 1.0 } else { 0.0 };
        let row = padded(&name, neutral);
        parameters.insert(name, row);
    }
    GaussHermitePsf {
        x,
        y,
        parameters,
        status: vec![-1; nfiber],
        ghdeg: (degree, degree),
        half_size: HALF_SIZE,
        ..first.clone()
    }
}

/// Widths and Hermite terms.
fn names(degree: usize) -> impl Iterator<Item = String> {
    let orders = (0..=degree).flat_map(move |j| (0..=degree).map(move |i| format!("GH-{i}-{j}")));
    ["GHSIGX", "GHSIGY"].into_iter().map(String::from).chain(orders)
}

/// Names of the shape parameters of a fit, in the order of [`crate::model`].
fn fitted(grid: &Grid) -> impl Iterator<Item = String> {
    names(grid.gh_degree).chain(grid.tails.then(|| "TAILAMP".to_string()))
}

/// Shape of a bundle's spots in `psf` (made by [`output`]) as polynomials over the bundle.
///
/// # Errors
/// [`NumericsError`] if the bundle has fewer fibres than terms across it.
pub fn bundle_shape(psf: &GaussHermitePsf, fibers: &[usize], grid: &Grid) -> Result<Vec<f64>, NumericsError> {
    let n = fibers.len();
    let place: Vec<f64> = (0..n).map(|f| crate::model::place(f, n)).collect();
    let mut shape = vec![0.0; grid.shapes() * grid.basis_terms()];
    for (name, coeff) in fitted(grid).zip(shape.chunks_exact_mut(grid.basis_terms())) {
        let Some(table) = psf.parameters.get(&name) else { continue };
        for k in 0..grid.wave_terms {
            let values: Vec<f64> = fibers.iter().map(|f| table[(*f, k)]).collect();
            let series = legendre::fit(&place, &values, &vec![1.0; n], grid.slit_terms)?;
            series.iter().enumerate().for_each(|(m, c)| coeff[m * grid.wave_terms + k] = *c);
        }
    }
    // GH-0-0 is the unit of the fluxes
    let unit = crate::model::HERMITE * grid.basis_terms();
    shape[unit..unit + grid.basis_terms()].fill(0.0);
    shape[unit] = 1.0;
    Ok(shape)
}

/// Writes a bundle's outcome into the PSF: its rows and STATUS, BnnRCHI2, BnnNDATA, BnnNPAR.
pub fn store(psf: &mut GaussHermitePsf, bundle: usize, fibers: &[usize], result: &Result<BundleFit, FitError>) {
    let (rchi2, ndata, npar) = result.as_ref().map_or((0.0, 0, 0), |f| (f.rchi2, f.ndata, f.npar));
    psf.header.set(&format!("B{bundle:02}RCHI2"), rchi2, "chi2 per pixel of the spots' cores");
    psf.header.set(&format!("B{bundle:02}NDATA"), ndata, "pixels of the spots' cores");
    psf.header.set(&format!("B{bundle:02}NPAR"), npar, "parameters of the fit");
    match result {
        Err(error) => fibers.iter().for_each(|f| psf.status[*f] = error.status()),
        Ok(fit) => fibers.iter().enumerate().for_each(|(k, f)| store_fiber(psf, *f, k, fit)),
    }
}

fn store_fiber(psf: &mut GaussHermitePsf, row: usize, fiber: usize, fit: &BundleFit) {
    let model = &fit.model;
    for (k, (x, y)) in model.series(fiber, 0).iter().zip(model.series(fiber, 1)).enumerate() {
        psf.x.coeff[(row, k)] = *x;
        psf.y.coeff[(row, k)] = *y;
    }
    // rows that the fit does not have are neutral
    let fixed = FIXED.iter().map(|(name, neutral)| (name.to_string(), *neutral));
    for (name, neutral) in names(psf.ghdeg.0).map(|name| (name, 0.0)).chain(fixed) {
        let parameter = fitted(&model.grid).position(|n| n == name);
        let terms = model.grid.wave_terms;
        let series = match parameter {
            Some(p) => model.fiber_series(p, fiber),
            None if name == "CONT" && !fit.continuum.is_empty() => fit.continuum[fiber * terms..][..terms].to_vec(),
            None => vec![neutral],
        };
        if let Some(table) = psf.parameters.get_mut(&name) {
            let mut target = table.row_mut(row);
            target.fill(0.0);
            target.iter_mut().zip(series).for_each(|(t, s)| *t = s);
        }
    }
    psf.status[row] = 0;
}
