//! The sky of an exposure: one deconvolved spectrum from the sky fibres, then what each fibre sees of it.

mod adjust;
mod fibers;
mod fit;
mod lines;
mod systematics;

use adjust::Adjustment;
use datamodel::{Frame, Sky, mask::spec};
use fibers::SkyFiber;
use ndarray::Array2;
use numerics::{NumericsError, Resolution};
use rayon::prelude::*;

/// How the sky is fitted.
#[derive(Debug, Clone)]
pub struct Params {
    /// Bins further than this many sigmas from the common sky are rejected.
    pub nsig: f64,
    /// Most rounds of rejection.
    pub max_iterations: usize,
    /// Whether throughput, wavelength and line width of each fibre are adjusted on the bright lines.
    pub adjust: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { nsig: 4.0, max_iterations: 100, adjust: true }
    }
}

/// Why there is no sky.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No fibre looks at the sky.
    #[error(
        "no usable sky fibre: {labelled} of {total} fibres have OBJTYPE SKY, and none of them has both good FIBERSTATUS and data"
    )]
    NoSkyFiber {
        /// Fibres of OBJTYPE SKY.
        labelled: usize,
        /// All fibres.
        total: usize,
    },
    /// The fit failed.
    #[error("the common sky spectrum cannot be solved: {0}")]
    Numerics(#[from] NumericsError),
}

/// The common sky and how it was found.
struct CommonSky {
    /// Deconvolved spectrum, electron/Angstrom.
    spectrum: Vec<f64>,
    /// Statistical variance of `R̄ s`.
    variance: Vec<f64>,
    /// Whether a bin of `R̄ s` rests on data.
    covered: Vec<bool>,
    /// Mean resolution of all fibres.
    mean_resolution: Resolution,
    fibers: Vec<SkyFiber>,
}

/// Sky model of every fibre of a flat-fielded frame (electron/Angstrom).
///
/// # Errors
/// [`Error::NoSkyFiber`]; [`Error::Numerics`].
pub fn run(frame: &Frame, params: &Params) -> Result<Sky, Error> {
    let mut common = fit_common(frame, fibers::select(frame)?, params)?;
    let mean = common.mean_resolution.apply(&common.spectrum);
    let peaks = lines::bright(&mean, &common.variance, &common.fibers);
    let mut adjustments = vec![Adjustment::none(); frame.nspec()];
    if params.adjust && !peaks.is_empty() {
        for _ in 0..2 {
            adjustments = adjust::fit(frame, &common, &peaks);
            let fibers = adjust::corrected(frame, &common, &adjustments);
            common = fit_common(frame, fibers, params)?;
        }
    }
    let inflation = systematics::variance(frame, &common, &adjustments, &peaks);
    let rejected = common.fibers.iter().map(SkyFiber::rejected).sum::<usize>();
    log::info!(
        "sky from {} fibres, {rejected} bins rejected, {} bright lines, adjusted: {}",
        common.fibers.len(),
        peaks.len(),
        adjust::describe(&adjustments)
    );
    let mut sky = assemble(frame, &common, &adjustments, &inflation);
    sky.header.set("NREJ", rejected, "sky bins rejected as outliers");
    sky.header.set("NSKYFIB", common.fibers.len(), "sky fibres used");
    Ok(sky)
}

fn fit_common(frame: &Frame, mut fibers: Vec<SkyFiber>, params: &Params) -> Result<CommonSky, Error> {
    let solution = fit::reject_and_solve(&mut fibers, params)?;
    let mean_resolution = calibrate::mean_resolution(frame);
    let variance = solution.variance(&mean_resolution);
    let covered = solution.covered(&mean_resolution);
    Ok(CommonSky { spectrum: solution.spectrum, variance, covered, mean_resolution, fibers })
}

/// The sky of every fibre with its variance: of the common spectrum, of the fibre's adjustment, and the
/// systematic one.
fn assemble(frame: &Frame, common: &CommonSky, adjustments: &[Adjustment], inflation: &[f64]) -> Sky {
    let (nspec, nwave) = frame.flux.dim();
    let rows: Vec<(Vec<f64>, Vec<f64>)> = (0..nspec)
        .into_par_iter()
        .map(|f| adjustments[f].apply(&frame.resolution_of(f).apply(&common.spectrum)))
        .collect();
    let mut sky = Sky {
        header: frame.header.clone(),
        wave: frame.wave.clone(),
        sky: Array2::zeros((nspec, nwave)),
        ivar: Array2::zeros((nspec, nwave)),
        mask: Array2::zeros((nspec, nwave)),
        stat_ivar: Some(Array2::zeros((nspec, nwave))),
        throughput_correction: None,
    };
    let stat_ivar = sky.stat_ivar.get_or_insert_with(|| Array2::zeros((nspec, nwave)));
    for (f, (model, own_variance)) in rows.iter().enumerate() {
        for j in 0..nwave {
            let (variance, at) = (common.variance[j], (f, j));
            sky.sky[at] = model[j] as f32;
            if common.covered[j] && variance > 0.0 && model[j].is_finite() {
                stat_ivar[at] = (1.0 / variance) as f32;
                sky.ivar[at] = (1.0 / (variance + own_variance[j] + inflation[j])) as f32;
            } else {
                sky.sky[at] = 0.0;
                sky.mask[at] = spec::BADSKY;
            }
        }
    }
    sky
}
