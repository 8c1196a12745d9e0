//! Fibre-to-fibre throughput from a flat. The lamp's light in fibre `f` is `D_f = F_f · (R_f M)`: a common
//! deconvolved lamp spectrum `M` and a flat `F_f` that varies slowly with wavelength. The flat that is
//! returned is `D / (R M)`, not smoothed, with the bad bins found on its smooth version.

pub mod combine;
mod fibers;
mod field;
mod lamp;
mod smooth;

use datamodel::{Fiberflat, Frame, mask::spec};
use fibers::FlatFiber;
use ndarray::Array2;
use numerics::{NumericsError, interp, robust};
use rayon::prelude::*;

/// How the flat is fitted.
#[derive(Debug, Clone)]
pub struct Params {
    /// Bins further than this many sigmas from the smooth flat are rejected.
    pub nsig: f64,
    /// The fit has converged when no smooth flat changes by more than this.
    pub accuracy: f64,
    /// Spacing of the spline's knots, Angstrom.
    pub smoothing: f64,
    /// Most rounds of {lamp, flats}.
    pub max_iterations: usize,
    /// A fibre that loses this many bins is bad as a whole.
    pub max_bad: usize,
    /// Bins with a flat outside this range are bad.
    pub range: (f64, f64),
    /// Systematic error of the flat, added to its variance in quadrature.
    pub systematic_error: f64,
}

impl Default for Params {
    fn default() -> Self {
        // the values of DESI's pipeline, but for nsig: ours knows the systematic error
        Self {
            nsig: 6.0,
            accuracy: 5e-4,
            smoothing: 5.0,
            max_iterations: 15,
            max_bad: 100,
            range: (0.1, 10.0),
            systematic_error: 0.0035,
        }
    }
}

/// Why there is no flat.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every fibre is bad.
    #[error("no usable fibre among {total}: {why}")]
    NoFiber {
        /// Fibres of the frame.
        total: usize,
        /// What is wrong with them.
        why: &'static str,
    },
    /// The fit failed.
    #[error("the lamp's spectrum cannot be solved: {0}")]
    Numerics(#[from] NumericsError),
}

/// The flat of a frame of the lamp (electron/Angstrom).
///
/// # Errors
/// [`Error::NoFiber`]; [`Error::Numerics`].
pub fn run(frame: &Frame, params: &Params) -> Result<Fiberflat, Error> {
    let mut fibers = fibers::select(frame)?;
    fibers::drop_out_of_range(&mut fibers, params);
    let start = lamp::median(&fibers, frame.wave.len());
    smooth::fit_and_reject(&mut fibers, &frame.wave, params, |_| start.clone());
    normalise(&mut fibers);
    let mut meanspec = lamp::deconvolved(frame, &fibers)?;
    let mut last_change = f64::INFINITY;
    for _ in 0..params.max_iterations {
        let before: Vec<Vec<f64>> = fibers.iter().map(|f| f.smooth.clone()).collect();
        smooth::fit_and_reject(&mut fibers, &frame.wave, params, |f| frame.resolution_view(f.row).apply(&meanspec));
        normalise(&mut fibers);
        let change = largest_change(&fibers, &before);
        meanspec = lamp::deconvolved(frame, &fibers)?;
        // converged, or as good as it gets
        if change < params.accuracy || (change - last_change).abs() < 0.1 * params.accuracy {
            break;
        }
        last_change = change;
    }
    if fibers.iter().all(|f| f.dead) {
        return Err(Error::NoFiber { total: frame.nspec(), why: "each has too many outlying bins" });
    }
    Ok(assemble(frame, &fibers, meanspec, params))
}

/// Divides the smooth flats by their median over the living fibres at each wavelength.
fn normalise(fibers: &mut [FlatFiber]) {
    let nwave = fibers.first().map_or(0, |f| f.smooth.len());
    let medians: Vec<f64> = (0..nwave)
        .into_par_iter()
        .map(|j| {
            let mut column: Vec<f64> = fibers.iter().filter(|f| !f.dead).map(|f| f.smooth[j]).collect();
            robust::median_in_place(&mut column).filter(|m| *m > 0.0).unwrap_or(1.0)
        })
        .collect();
    fibers.par_iter_mut().for_each(|f| f.smooth.iter_mut().zip(&medians).for_each(|(s, m)| *s /= m));
}

fn largest_change(fibers: &[FlatFiber], before: &[Vec<f64>]) -> f64 {
    let of_fiber = |(f, old): (&FlatFiber, &Vec<f64>)| {
        let pairs = f.smooth.iter().zip(old).zip(&f.weight).filter(|(_, w)| !f.dead && **w > 0.0);
        pairs.map(|((a, b), _)| (a - b).abs()).fold(0.0, f64::max)
    };
    fibers.iter().zip(before).map(of_fiber).fold(0.0, f64::max)
}

/// The unsmoothed flat with its variance; bins without one hold the smooth flat and are masked.
fn assemble(frame: &Frame, fibers: &[FlatFiber], meanspec: Vec<f64>, params: &Params) -> Fiberflat {
    let shape = frame.flux.dim();
    let mut flat = Fiberflat {
        header: frame.header.clone(),
        wave: frame.wave.clone(),
        fiberflat: Array2::ones(shape),
        ivar: Array2::zeros(shape),
        mask: Array2::from_elem(shape, spec::BADFIBERFLAT),
        meanspec,
        fibermap: Some(frame.fibermap.clone()),
    };
    let (mut chi2, mut ndata, mut rejected) = (0.0, 0usize, 0usize);
    for fiber in fibers.iter().filter(|f| !f.dead) {
        let lamp = frame.resolution_view(fiber.row).apply(&flat.meanspec);
        let good: Vec<bool> = (0..shape.1).map(|j| fiber.weight[j] > 0.0 && lamp[j] > 0.0).collect();
        let mut filled = fiber.smooth.clone();
        interp::fill(&mut filled, &good);
        for j in 0..shape.1 {
            let (value, ivar) = (fiber.flux[j] / lamp[j], fiber.weight[j] * lamp[j] * lamp[j]);
            let within = value >= params.range.0 && value <= params.range.1;
            if good[j] && within {
                flat.fiberflat[(fiber.row, j)] = value as f32;
                flat.ivar[(fiber.row, j)] = (1.0 / (1.0 / ivar + params.systematic_error.powi(2))) as f32;
                flat.mask[(fiber.row, j)] = 0;
                chi2 += ivar * (value - fiber.smooth[j]).powi(2);
                ndata += 1;
            } else {
                flat.fiberflat[(fiber.row, j)] = filled[j].clamp(params.range.0, params.range.1) as f32;
            }
        }
        rejected += fiber.rejected;
    }
    let dead = frame.nspec() - fibers.iter().filter(|f| !f.dead).count();
    let terms = (frame.wave[shape.1 - 1] - frame.wave[0]) / params.smoothing + 4.0;
    let degrees = ndata as f64 - terms * (frame.nspec() - dead) as f64;
    let chi2pdf = chi2 / degrees.max(1.0);
    log::info!(
        "flat of {} fibres, {dead} dead, {rejected} bins rejected, chi2 per degree of freedom {chi2pdf:.3}",
        frame.nspec()
    );
    flat.header.set("CHI2PDF", chi2pdf, "chi2 per degree of freedom, smooth flat");
    flat
}
