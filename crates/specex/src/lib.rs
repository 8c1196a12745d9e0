//! The Gauss-Hermite PSF of every fibre from an arc image.
//!
//! Each bundle of fibres is fitted by itself ([`fit`]): fluxes of all spots, traces, and the shape of the spots as
//! polynomials over the bundle ([`model`]), by Gauss-Newton steps that eliminate what belongs to one fibre
//! ([`solve`]).

pub mod align;
pub mod continuum;
pub mod error;
pub mod fit;
pub mod light;
pub mod model;
pub mod patch;
pub mod solve;
mod table;

pub use error::FitError;
pub use fit::BundleFit;

use datamodel::{GaussHermitePsf, Image};
use fit::Guess;
use model::Grid;
use ndarray::Array2;
use numerics::{NumericsError, legendre};
use psf::{lamps::LampLine, series};
use rayon::prelude::*;

/// What to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Highest Hermite order.
    pub gh_degree: usize,
    /// Degree in wavelength of the shape.
    pub wave_degree: usize,
    /// Degree across the bundle of the shape.
    pub slit_degree: usize,
    /// Degree in wavelength of the traces.
    pub trace_degree: usize,
    /// Whether to fit the tails' amplitude.
    pub tails: bool,
    /// Whether to fit a smooth spectrum of every fibre under the lines.
    pub continuum: bool,
    /// Bundles to fit; the others keep the first guess.
    pub bundles: Option<Vec<usize>>,
    /// Rows of fibres that must not be used.
    pub broken: Vec<usize>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            gh_degree: 6,
            wave_degree: 3,
            slit_degree: 1,
            trace_degree: 6,
            tails: false,
            continuum: false,
            bundles: None,
            broken: Vec::new(),
        }
    }
}

/// The outcome of each bundle that was tried.
pub type Outcome = Vec<(usize, Result<BundleFit, FitError>)>;

/// Fits `image`, starting from `first`. Returns the PSF, in which bundles that failed or were not tried keep the
/// first guess, and the outcome of each bundle that was tried.
///
/// # Errors
/// [`NumericsError`] if the first guess's series cannot be brought to the output's degrees.
pub fn run(
    image: &Image,
    first: &GaussHermitePsf,
    lines: &[LampLine],
    params: &Params,
) -> Result<(GaussHermitePsf, Outcome), NumericsError> {
    let range = (first.y.wavemin, first.y.wavemax);
    let terms = first.x.coeff.ncols().max(first.y.coeff.ncols()).max(params.trace_degree + 1);
    let (x, y) = (series::remap(&first.x, range, terms)?, series::remap(&first.y, range, terms)?);
    let grid = Grid {
        trace_range: range,
        trace_terms: terms,
        shape_range: (first.wavemin, first.wavemax),
        wave_terms: params.wave_degree + 1,
        slit_terms: params.slit_degree + 1,
        gh_degree: params.gh_degree,
        tails: params.tails,
    };
    let mut psf = table::output(first, x, y, &grid);
    let mut bundles: Vec<usize> = first.bundle.iter().filter_map(|b| usize::try_from(*b).ok()).collect();
    bundles.dedup();
    bundles.retain(|b| params.bundles.as_ref().is_none_or(|wanted| wanted.contains(b)));
    let outcome: Outcome = bundles
        .into_par_iter()
        .map(|bundle| {
            let fibers = table::fibers(&psf, bundle);
            (bundle, fit_bundle(image, grid, &psf, &fibers, lines, params))
        })
        .collect();
    for (bundle, result) in &outcome {
        let fibers = table::fibers(&psf, *bundle);
        table::store(&mut psf, *bundle, &fibers, result);
    }
    Ok((psf, outcome))
}

/// A bundle's fit from the traces and widths that `psf` has now.
fn fit_bundle(
    image: &Image,
    grid: Grid,
    psf: &GaussHermitePsf,
    fibers: &[usize],
    lines: &[LampLine],
    params: &Params,
) -> Result<BundleFit, FitError> {
    let rows = |a: &Array2<f64>| fibers.iter().map(|f| a.row(*f).to_vec()).collect();
    let guess = Guess {
        traces: [rows(&psf.x.coeff), rows(&psf.y.coeff)],
        shape: table::bundle_shape(psf, fibers, &grid)?,
        usable: fibers.iter().map(|f| !params.broken.contains(f)).collect(),
    };
    let row = |fiber: usize, wave: f64| {
        let u = legendre::reduced(wave, grid.trace_range.0, grid.trace_range.1);
        legendre::evaluate(&psf.y.coeff.row(fibers[fiber]).to_vec(), u)
    };
    // lines that the first guess puts on the CCD in some fibre, and inside the range of the series
    let ny = image.pix.nrows() as f64;
    let visible: Vec<(f64, bool)> = lines
        .iter()
        .filter(|l| l.wave > grid.trace_range.0 && l.wave < grid.trace_range.1)
        .filter(|l| (0..fibers.len()).any(|f| row(f, l.wave) > -10.0 && row(f, l.wave) < ny + 10.0))
        .map(|l| (l.wave, l.score > 0))
        .collect();
    fit::fit(image, grid, &guess, &visible, params.continuum)
}
