//! Models of the standard stars of an exposure: radial velocity, atmospheric parameters and dust of each,
//! normalised to its photometry.
//!
//! Data and model are compared after a free smooth factor in each arm, which is what the unknown calibration
//! is; it is solved with each comparison ([`calibration`]).

mod calibration;
pub mod candidates;
mod fit;
mod grid;
mod masks;
pub mod photometry;
mod spectrum;

use candidates::Candidate;
use datamodel::{StdStars, stdstars::StarFit};
use fit::Fit;
use grid::Grid;
use ndarray::Array2;
use photometry::System;
use rayon::prelude::*;
use templates::StarGrid;

/// How stars are chosen and fitted.
#[derive(Debug, Clone)]
pub struct Params {
    /// Models within this many magnitudes of the star's colour are tried.
    pub delta_color: f64,
    /// Least median S/N per bin in the bluest arm.
    pub min_snr: f64,
    /// Most stars; those of the best S/N.
    pub max_stars: usize,
    /// Largest redshift that is tried, either sign.
    pub max_z: f64,
    /// Relative error of the models.
    pub template_error: f64,
}

impl Default for Params {
    fn default() -> Self {
        // colour window, S/N, number and range of redshift are those of DESI's pipeline
        Self { delta_color: 0.2, min_snr: 4.0, max_stars: 30, max_z: 0.005, template_error: 0.03 }
    }
}

/// Why there is no star.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No star passes every test.
    #[error("no standard star can be fitted: {labelled} fibres have the target bits of one; {reasons}")]
    NoStar {
        /// Fibres whose target bits say standard star.
        labelled: usize,
        /// How many each test took away.
        reasons: String,
    },
    /// The models cannot be used.
    #[error("the star models cannot be used: {0}")]
    Grid(&'static str),
}

/// Fits every usable candidate. `labelled` and `lost` tell what became of the others, for the error.
///
/// # Errors
/// [`Error::NoStar`]; [`Error::Grid`].
pub fn run(found: candidates::Found, models: &StarGrid, params: &Params) -> Result<StdStars, Error> {
    let candidates::Found { labelled, mut lost, mut stars } = found;
    select(&mut stars, &mut lost, params);
    let systems: Vec<System> = stars.iter().map(|s| s.photometry.system).collect();
    let grid = Grid::new(models, &systems)?;
    let fits: Vec<(Candidate, Option<Fit>)> = stars
        .into_par_iter()
        .map(|star| {
            let fit = fit::fit(&star, &grid, params);
            (star, fit)
        })
        .collect();
    lost.push((fits.iter().filter(|(_, f)| f.is_none()).count(), "have a colour that no model has"));
    let mut fitted: Vec<(Candidate, Fit)> = fits.into_iter().filter_map(|(s, f)| Some((s, f?))).collect();
    drop_bad_fits(&mut fitted);
    drop_bad_colors(&mut fitted);
    if fitted.is_empty() {
        let reasons: Vec<String> = lost.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect();
        let reasons =
            if reasons.is_empty() { "none is left".to_string() } else { format!("of these {}", reasons.join(", ")) };
        return Err(Error::NoStar { labelled, reasons });
    }
    for (star, fit) in &fitted {
        log::info!(
            "fibre {}: Teff {:.0} K, log g {:.2}, [Fe/H] {:.2}, v {:.0} km/s, chi2 {:.2}, colour {:.3} (model {:.3})",
            star.fiber,
            fit.teff,
            fit.logg,
            fit.feh,
            numerics::LIGHT_KMS * fit.z,
            fit.chi2dof,
            star.photometry.color,
            fit.color
        );
    }
    Ok(assemble(&fitted, models))
}

/// Keeps the stars with enough signal, at most the best few.
fn select(stars: &mut Vec<Candidate>, lost: &mut Vec<(usize, &'static str)>, params: &Params) {
    let before = stars.len();
    stars.retain(|s| s.bluest_snr() >= params.min_snr);
    lost.push((before - stars.len(), "are too faint"));
    stars.sort_by(|a, b| b.bluest_snr().total_cmp(&a.bluest_snr()).then(a.fiber.cmp(&b.fiber)));
    stars.truncate(params.max_stars);
    stars.sort_by_key(|s| s.fiber);
}

/// Drops stars that no model describes while models describe the others: they are something else.
fn drop_bad_fits(fitted: &mut Vec<(Candidate, Fit)>) {
    const WORST: f64 = 2.0;
    if fitted.len() < 3 {
        return;
    }
    let chi2: Vec<f64> = fitted.iter().map(|(_, f)| f.chi2dof).collect();
    let limit = WORST * numerics::robust::median(&chi2).unwrap_or(f64::INFINITY).max(1.0);
    fitted.retain(|(star, fit)| {
        let good = fit.chi2dof <= limit;
        if !good {
            log::warn!("fibre {} is no star of the models (chi2 {:.1}) and is left out", star.fiber, fit.chi2dof);
        }
        good
    });
}

/// Drops stars whose colour is none of their best model's, the worst first, while most of the stars and three are left: the grid
/// does not hold them, and their continuum is not to be trusted.
fn drop_bad_colors(fitted: &mut Vec<(Candidate, Fit)>) {
    const WORST: f64 = 0.05;
    let least = fitted.len().div_ceil(2).max(3);
    let off = |(star, fit): &(Candidate, Fit)| (star.photometry.color - fit.color).abs();
    while fitted.len() > least {
        let Some(worst) = (0..fitted.len()).max_by(|&a, &b| off(&fitted[a]).total_cmp(&off(&fitted[b]))) else {
            return;
        };
        if off(&fitted[worst]) <= WORST {
            return;
        }
        let (star, fit) = fitted.remove(worst);
        log::warn!(
            "fibre {} has a colour of {:.3}, its best model {:.3}, and is left out",
            star.fiber,
            star.photometry.color,
            fit.color
        );
    }
}

fn assemble(fitted: &[(Candidate, Fit)], models: &StarGrid) -> StdStars {
    let (nstar, nwave) = (fitted.len(), models.wave.len());
    let mut out = StdStars {
        header: datamodel::Header::new(),
        wave: models.wave.clone(),
        flux: Array2::zeros((nstar, nwave)),
        fibers: fitted.iter().map(|(s, _)| s.fiber).collect(),
        stars: fitted.iter().map(|(s, f)| summary(s, f)).collect(),
        coeff: Array2::zeros((nstar, models.teff.len())),
        fibermap: None,
        input_frames: vec![],
    };
    let reddening: Vec<f64> = models.wave.iter().map(|w| templates::dust::ln_transmission(*w)).collect();
    for (k, (star, fit)) in fitted.iter().enumerate() {
        let flux = photometry::normalised(&star.photometry, fit, models, &reddening);
        out.flux.row_mut(k).iter_mut().zip(flux).for_each(|(o, f)| *o = f as f32);
        fit.coefficients.iter().for_each(|&(model, c)| out.coeff[(k, model)] = c);
    }
    out
}

fn summary(star: &Candidate, fit: &Fit) -> StarFit {
    StarFit {
        targetid: star.targetid,
        fiber: star.fiber,
        logg: fit.logg,
        teff: fit.teff,
        feh: fit.feh,
        chi2dof: fit.chi2dof,
        redshift: fit.z,
        data_color: star.photometry.color,
        model_color: fit.color,
        snr: star.snr,
    }
}
