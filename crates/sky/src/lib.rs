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
use numerics::{NumericsError, SymmetricBand};
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

/// With at least this many sky fibres each is given the sky of the others, at the price of at most 2.5% more
/// noise in it.
const LEAVE_ONE_OUT: usize = 20;

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
    /// Deconvolved spectrum, electron/Angstrom, and its covariance.
    spectrum: Vec<f64>,
    covariance: SymmetricBand,
    /// Whether a bin of `R̄ s` rests on data.
    covered: Vec<bool>,
    /// `R̄ s` for the mean resolution of all fibres.
    mean: Vec<f64>,
    fibers: Vec<SkyFiber>,
    /// The spectrum from all sky fibres but one, for each of them, where there are enough.
    without: Vec<Vec<f64>>,
}

impl CommonSky {
    /// The deconvolved sky for a fibre. A sky fibre gets that of the others, so that what is left after its
    /// subtraction has the same errors as in a target's fibre.
    fn spectrum_for(&self, row: usize) -> &[f64] {
        let own = self.fibers.iter().position(|f| f.row == row);
        own.and_then(|k| self.without.get(k)).unwrap_or(&self.spectrum)
    }
}

/// Sky model of every fibre of a flat-fielded frame (electron/Angstrom).
///
/// # Errors
/// [`Error::NoSkyFiber`]; [`Error::Numerics`].
pub fn run(frame: &Frame, params: &Params) -> Result<Sky, Error> {
    let mut common = fit_common(frame, fibers::select(frame)?, params)?;
    let peaks = lines::bright(&common.mean, &common.covered, &common.fibers);
    let mut adjustments = vec![Adjustment::none(); frame.nspec()];
    if params.adjust && !peaks.is_empty() {
        for _ in 0..2 {
            adjustments = adjust::fit(frame, &common, &peaks);
            let fibers = adjust::corrected(frame, &common, &adjustments);
            common = fit_common(frame, fibers, params)?;
        }
    }
    if common.fibers.len() >= LEAVE_ONE_OUT {
        common.without = fit::without_each(&common.fibers)?;
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
    let resolution = calibrate::mean_resolution(frame);
    let (covariance, covered) = (solution.covariance(), solution.covered(&resolution));
    let mean = resolution.apply(&solution.spectrum);
    Ok(CommonSky { spectrum: solution.spectrum, covariance, covered, mean, fibers, without: vec![] })
}

/// The sky of one fibre, and its variances: of the common spectrum and of the adjustment.
struct Row {
    model: Vec<f64>,
    common: Vec<f64>,
    adjusted: Vec<f64>,
}

/// The sky of every fibre with its variance: of the common spectrum, of the fibre's adjustment, and the
/// systematic one.
fn assemble(frame: &Frame, common: &CommonSky, adjustments: &[Adjustment], inflation: &[f64]) -> Sky {
    let (nspec, nwave) = frame.flux.dim();
    let own = 1.0 / (common.without.len() as f64 - 1.0).max(1.0);
    let rows: Vec<Row> = (0..nspec)
        .into_par_iter()
        .map(|f| {
            let (spectrum, resolution) = (common.spectrum_for(f), frame.resolution_of(f));
            let (model, adjusted) = adjustments[f].apply(&resolution.apply(spectrum));
            // one fibre fewer
            let factor = if std::ptr::eq(spectrum, common.spectrum.as_slice()) { 1.0 } else { 1.0 + own };
            let common = resolution.propagate(&common.covariance).into_iter().map(|v| factor * v).collect();
            Row { model, common, adjusted }
        })
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
    for (f, row) in rows.iter().enumerate() {
        for (j, &systematic) in inflation.iter().enumerate() {
            let (variance, at) = (row.common[j], (f, j));
            if common.covered[j] && variance > 0.0 && row.model[j].is_finite() {
                sky.sky[at] = row.model[j] as f32;
                stat_ivar[at] = (1.0 / variance) as f32;
                sky.ivar[at] = (1.0 / (variance + row.adjusted[j] + systematic)) as f32;
            } else {
                sky.mask[at] = spec::BADSKY;
            }
        }
    }
    sky
}
