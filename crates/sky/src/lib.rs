//! The sky of an exposure: one deconvolved spectrum from the sky fibres, then what each fibre sees of it.

mod adjust;
mod fibers;
mod fit;
mod lines;
mod measure;
mod prior;
mod systematics;

use adjust::{Adjustment, Basis};
use datamodel::{Frame, Sky, mask::spec};
use fibers::SkyFiber;
use fit::Others;
use ndarray::Array2;
use numerics::{Diagonals, NumericsError, Resolution};
use rayon::prelude::*;

/// How the sky is fitted.
#[derive(Debug, Clone)]
pub struct Params {
    /// Bins further than this many sigmas from the common sky are rejected.
    pub nsig: f64,
    /// Most rounds of rejection.
    pub max_iterations: usize,
    /// Whether the airglow's gradient over the field and the throughput of each fibre are adjusted.
    pub adjust_throughput: bool,
    /// Whether the wavelengths of each fibre are adjusted on the bright lines.
    pub adjust_wavelength: bool,
    /// Whether the line width of each fibre is adjusted on the bright lines.
    pub adjust_lsf: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { nsig: 4.0, max_iterations: 100, adjust_throughput: true, adjust_wavelength: true, adjust_lsf: true }
    }
}

impl Params {
    /// Without any adjustment.
    pub fn unadjusted() -> Self {
        Self { adjust_throughput: false, adjust_wavelength: false, adjust_lsf: false, ..Self::default() }
    }

    fn adjusts(&self) -> bool {
        self.adjust_throughput || self.adjust_wavelength || self.adjust_lsf
    }
}

/// Rounds of {adjustments, common sky}.
const ROUNDS: usize = 2;

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
struct CommonSky<'a> {
    /// Deconvolved spectrum, electron/Angstrom, and its covariance.
    spectrum: Vec<f64>,
    covariance: Diagonals,
    /// Whether a bin of `R̄ s` rests on data.
    covered: Vec<bool>,
    /// `R̄ s` for the mean resolution of all fibres.
    mean: Vec<f64>,
    fibers: Vec<SkyFiber<'a>>,
    /// The sky from all sky fibres but one, for each of them, where there are several.
    without: Vec<Others>,
}

impl CommonSky<'_> {
    /// The sky of the others, if the row is a sky fibre: what is left after its subtraction has the same errors as in a
    /// target's fibre.
    fn others(&self, row: usize) -> Option<&Others> {
        let own = self.fibers.iter().position(|f| f.row == row)?;
        self.without.get(own)
    }

    /// The deconvolved sky for a fibre.
    fn spectrum_for(&self, row: usize) -> &[f64] {
        self.others(row).map_or(&self.spectrum, |o| &o.spectrum)
    }
}

/// Sky model of every fibre of a flat-fielded frame (electron/Angstrom).
///
/// # Errors
/// [`Error::NoSkyFiber`]; [`Error::Numerics`].
pub fn run(frame: &Frame, params: &Params) -> Result<Sky, Error> {
    let mean = calibrate::mean_resolution(frame);
    let mut common = fit_common(&mean, fibers::select(frame)?, params)?;
    let peaks = lines::bright(&common.mean, &common.covered, &common.fibers);
    let basis = Basis::new(&common.mean, peaks.len());
    let mut adjustments = vec![Adjustment::default(); frame.nspec()];
    for _ in 0..if params.adjusts() { ROUNDS } else { 0 } {
        let Some(better) = adjust::fit(frame, &common, &peaks, &basis, params) else { break };
        adjustments = better;
        let fibers = adjust::corrected(frame, &common, &adjustments, &basis);
        common = fit_common(&mean, fibers, params)?;
    }
    if common.fibers.len() > 1 {
        common.without = fit::without_each(&common.fibers)?;
    }
    let row = |f: usize| Row::of(frame, &common, f, &adjustments[f], &basis);
    let rows: Vec<Row> = (0..frame.nspec()).into_par_iter().map(row).collect();
    let inflation = systematics::variance(frame, &common, &rows, &peaks);
    let rejected = common.fibers.iter().map(SkyFiber::rejected).sum::<usize>();
    log::info!(
        "sky from {} fibres, {rejected} bins rejected, {} bright lines, adjusted: {}",
        common.fibers.len(),
        peaks.len(),
        adjust::describe(&adjustments)
    );
    let mut sky = assemble(frame, &rows, &inflation);
    flag_hits(&mut sky, &common.fibers);
    sky.header.set("NREJ", rejected, "sky bins rejected as outliers");
    sky.header.set("NSKYFIB", common.fibers.len(), "sky fibres used");
    Ok(sky)
}

/// Given the mean resolution of all fibres.
fn fit_common<'a>(
    resolution: &Resolution,
    mut fibers: Vec<SkyFiber<'a>>,
    params: &Params,
) -> Result<CommonSky<'a>, Error> {
    let solution = fit::reject_and_solve(&mut fibers, params)?;
    let (covariance, covered) = (solution.covariance(), solution.covered(&resolution.view()));
    let mean = resolution.apply(&solution.spectrum);
    Ok(CommonSky { spectrum: solution.spectrum, covariance, covered, mean, fibers, without: vec![] })
}

/// The sky of one fibre; its variances, of the common spectrum and of the adjustment; where it is known.
struct Row {
    model: Vec<f64>,
    common: Vec<f64>,
    adjusted: Vec<f64>,
    covered: Vec<bool>,
}

impl Row {
    fn of(frame: &Frame, common: &CommonSky, f: usize, adjustment: &Adjustment, basis: &Basis) -> Self {
        let resolution = frame.resolution_view(f);
        let (model, adjusted) = adjustment.apply(&resolution.apply(common.spectrum_for(f)), basis);
        let mut variance = resolution.propagate(&common.covariance);
        let mut covered = common.covered.clone();
        if let Some(others) = common.others(f) {
            variance.iter_mut().zip(&others.factor).for_each(|(v, factor)| *v *= factor);
            covered.iter_mut().zip(&others.covered).for_each(|(c, of_others)| *c &= of_others);
        }
        Self { model, common: variance, adjusted, covered }
    }
}

/// The sky of every fibre with its variance: of the common spectrum, of the fibre's adjustment, and the
/// systematic one.
fn assemble(frame: &Frame, rows: &[Row], inflation: &[f64]) -> Sky {
    let (nspec, nwave) = frame.flux.dim();
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
            if row.covered[j] && variance > 0.0 && row.model[j].is_finite() {
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

/// Masks what the sky fibres' own bins hold beyond sky: cosmic rays, on lines too.
fn flag_hits(sky: &mut Sky, fibers: &[SkyFiber]) {
    for fiber in fibers {
        for j in (0..fiber.flux.len()).filter(|&j| fiber.ivar[j] > 0.0 && fiber.weight[j] == 0.0) {
            if fiber.flux[j] > f64::from(sky.sky[(fiber.row, j)]) {
                sky.mask[(fiber.row, j)] |= spec::COSMIC;
            }
        }
    }
}
