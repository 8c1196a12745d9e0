//! The flux calibration of an exposure: one deconvolved vector `c` such that the standard star in fibre `f`
//! has `F_f = g_f · R_f (c m_f)`, with its model `m_f` (1e-17 erg/s/cm2/Angstrom) and a grey factor `g_f`
//! for the light that misses the fibre.

mod acceptance;
mod fit;
mod interstellar;
mod stars;

use calibrate::CommonSpectrum;
use datamodel::{FluxCalib, Frame, StdStars, mask::spec};
use ndarray::Array2;
use numerics::{Diagonals, NumericsError, View};
use rayon::prelude::*;
use stars::Star;
use std::collections::HashMap;

/// How the calibration is fitted.
#[derive(Debug, Clone)]
pub struct Params {
    /// Bins further than this many sigmas from the model are rejected.
    pub nsig: f64,
    /// Relative error of the star models that is no outlier.
    pub model_error: f64,
    /// Most rounds.
    pub max_iterations: usize,
    /// Stars with a grey factor below this are dropped at once.
    pub min_scale: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { nsig: 5.0, model_error: 0.05, max_iterations: 20, min_scale: 0.2 }
    }
}

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the models belongs to this frame.
    #[error("none of the {models} standard stars (fibres {fibers}) has usable data in this frame")]
    NoStar {
        /// Stars of the model file.
        models: usize,
        /// Their fibres.
        fibers: String,
    },
    /// The stars have data, but their light is not there.
    #[error("none of the {stars} standard stars shows any light in this frame")]
    NoLight {
        /// Stars with data.
        stars: usize,
    },
    /// The models stop inside the frame.
    #[error("the star models cover {model} Angstrom, the frame {frame}")]
    Coverage {
        /// Range of the models.
        model: String,
        /// Range of the frame.
        frame: String,
    },
    /// The fit failed.
    #[error("the calibration vector cannot be solved: {0}")]
    Numerics(#[from] NumericsError),
}

/// The calibration of every fibre of a flat-fielded, sky-subtracted frame (electron/Angstrom).
///
/// # Errors
/// [`Error::NoStar`]; [`Error::NoLight`]; [`Error::Coverage`]; [`Error::Numerics`].
pub fn run(frame: &Frame, models: &StdStars, params: &Params) -> Result<FluxCalib, Error> {
    let mut stars = stars::select(frame, models)?;
    let found = stars.len();
    fit::first_scales(&mut stars);
    let scales: Vec<(usize, f64)> = stars.iter().map(|s| (s.row, s.scale)).collect();
    let seeing = acceptance::seeing(frame, &scales);
    let correction = acceptance::point_source_correction(&frame.fibermap, seeing);
    stars.iter_mut().for_each(|s| s.centre(correction[s.row]));
    let common = fit::solve_with_rejection(&mut stars, params)?;
    let scales: Vec<String> = stars.iter().map(|s| format!("{}: {:.3}", s.fiber, s.scale)).collect();
    log::info!(
        "calibration from {} of {found} stars in {seeing:.2} arcsec seeing; grey factors by fibre {}",
        stars.len(),
        scales.join(", ")
    );
    let mut calib = assemble(frame, &Vector::of(&common, stars.iter()), &of_others(&stars)?, correction);
    if calib.ivar.iter().all(|w| *w <= 0.0) {
        return Err(Error::NoLight { stars: found });
    }
    calib.header.set("NSTD", stars.len(), "standard stars used");
    calib.header.set("SEEINGUS", seeing, "[arcsec] seeing of the positioner correction");
    Ok(calib)
}

/// Least number of others that a star is calibrated by.
const LEAST_OTHERS: usize = 2;

/// A calibration vector before the resolution.
struct Vector {
    spectrum: Vec<f64>,
    covariance: Diagonals,
    /// Bins of enough stars.
    good: Vec<bool>,
}

impl Vector {
    fn of<'a>(common: &CommonSpectrum, stars: impl Iterator<Item = &'a Star> + Clone) -> Self {
        Self { spectrum: common.spectrum.clone(), covariance: common.covariance(), good: well_sampled(stars) }
    }
}

/// For the row of each star the vector of the others. With its own noise in the vector a bright star would come out smoother than
/// its errors say, by a tenth among 15 and by a fifth among 6. Where the others are few their vector is worse than that: none.
fn of_others(stars: &[Star]) -> Result<HashMap<usize, Vector>, Error> {
    if stars.len() <= LEAST_OTHERS {
        return Ok(HashMap::new());
    }
    let solutions = fit::solve_without_each(stars)?;
    let vector = |(own, solution): (&Star, &CommonSpectrum)| {
        (own.row, Vector::of(solution, stars.iter().filter(|s| s.row != own.row)))
    };
    Ok(stars.par_iter().zip(&solutions).map(vector).collect())
}

/// Bins with enough stars, not next to one without.
fn well_sampled<'a>(stars: impl Iterator<Item = &'a Star> + Clone) -> Vec<bool> {
    let needed = (stars.clone().count() / 2).clamp(1, 3);
    let n = stars.clone().next().map_or(0, |s| s.weight.len());
    let sampled = |j: usize| stars.clone().filter(|s| s.weight[j] > 0.0).count() >= needed;
    let sampled: Vec<bool> = (0..n).map(sampled).collect();
    (0..n).map(|j| sampled[j.saturating_sub(1)..(j + 2).min(n)].iter().all(|ok| *ok)).collect()
}

/// `R s` and the diagonal of `R C Rᵀ`. Rows near the ends of `R` are brought to a sum of 1: they lose what lies beyond, and the
/// spectrum is taken to continue there like the part that is seen.
fn seen_through(resolution: &View<f32>, spectrum: &[f64], covariance: &Diagonals) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut variance) = (resolution.apply(spectrum), resolution.propagate(covariance));
    let (half, n) = (resolution.ndiag() / 2, resolution.nwave());
    let sums = resolution.row_sums();
    for i in (0..n).filter(|&i| (i < half || i + half >= n) && sums[i] > 0.0) {
        mean[i] /= sums[i];
        variance[i] /= sums[i] * sums[i];
    }
    (mean, variance)
}

/// `C_f = R_f c / (R_f 1) / p_f` of every fibre, with `p_f` the correction for a point source off its fibre;
/// bins without enough stars are 0 and masked. Rows in `others` have a vector of their own.
fn assemble(frame: &Frame, common: &Vector, others: &HashMap<usize, Vector>, correction: Vec<f64>) -> FluxCalib {
    let shape = frame.flux.dim();
    let vector = |f: usize| others.get(&f).unwrap_or(common);
    let row = |f: usize| {
        let Vector { spectrum, covariance, good } = vector(f);
        let (mut row, variance) = seen_through(&frame.resolution_view(f), spectrum, covariance);
        interstellar::bridges(&frame.wave, good).iter().for_each(|b| b.span(&mut row));
        (row, variance)
    };
    let rows: Vec<(Vec<f64>, Vec<f64>)> = (0..shape.0).into_par_iter().map(row).collect();
    let mut calib = FluxCalib {
        header: frame.header.clone(),
        wave: frame.wave.clone(),
        calib: Array2::zeros(shape),
        ivar: Array2::zeros(shape),
        mask: Array2::from_elem(shape, spec::NODATA),
        fibercorr: None,
        deconvolved: Some(common.spectrum.clone()),
    };
    for (f, ((row, variance), p)) in rows.iter().zip(&correction).enumerate() {
        // without light of its own a fibre is calibrated like a centred one, and carries no information
        let (p, weight) = if *p > 0.0 { (*p, 1.0) } else { (1.0, 0.0) };
        let good = &vector(f).good;
        for j in (0..shape.1).filter(|&j| good[j] && row[j] > 0.0 && variance[j] > 0.0) {
            calib.calib[(f, j)] = (row[j] / p) as f32;
            calib.ivar[(f, j)] = (weight * p * p / variance[j]) as f32;
            calib.mask[(f, j)] = if weight > 0.0 { 0 } else { spec::NODATA };
        }
    }
    calib.fibercorr = Some([correction, vec![1.0; shape.0]]);
    calib
}
