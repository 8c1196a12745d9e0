//! A target's spectrum as it is fitted: one channel a camera (or one for a whole SDSS spectrum), each with
//! its own wavelengths and resolution.

use crate::forest;
use numerics::{Resolution, resample::bin_edges};
use std::sync::{Arc, OnceLock};
use templates::Igm;

/// Bins more negative than this many sigma are artefacts and are not used (redrock's `negflux_nsig`).
const NEGATIVE_FLUX_SIGMA: f64 = 5.0;

/// Vacuum Angstrom ranges that are not used: the [O I] 5577 airglow line, and the end of the z arm.
const UNUSED: [(f64, f64); 2] = [(5572.0, 5582.0), (9792.0, 9795.0)];

/// Bins whose resolution row sums to less lose light to bins outside the matrix, at the ends of a band, and are
/// not used (redrock does the same).
pub const SMALLEST_ROW_SUM: f64 = 0.99;

/// The wavelength bins of a channel; targets of one file share it.
#[derive(Debug)]
pub struct Grid {
    /// Bin centres, vacuum Angstrom, ascending.
    pub wave: Vec<f64>,
    /// Bin edges: `wave.len() + 1` values.
    pub edges: Vec<f64>,
    /// Natural logarithm of the edges.
    pub ln_edges: Vec<f64>,
    /// 1 / width of each bin.
    pub inverse_widths: Vec<f64>,
    /// Transmissions of the models of the forest, made when first asked for.
    forests: [OnceLock<Vec<Vec<f64>>>; 3],
}

/// Flux in one channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its bins.
    pub grid: Arc<Grid>,
    /// 1e-17 erg/s/cm2/Angstrom; 0 where `ivar` is 0.
    pub flux: Vec<f64>,
    /// Its inverse variance; 0 where there is no information.
    pub ivar: Vec<f64>,
    /// From the true spectrum to what the bins show.
    pub resolution: Resolution,
}

/// Everything measured of one target.
#[derive(Debug, Clone)]
pub struct Target {
    /// TARGETID.
    pub id: i64,
    /// Its channels; a target that a camera has not seen lacks that channel or has ivar 0 there.
    pub channels: Vec<Channel>,
}

impl Grid {
    /// From bin centres.
    pub fn new(wave: Vec<f64>) -> Self {
        let edges = bin_edges(&wave);
        let ln_edges = edges.iter().map(|e| e.ln()).collect();
        let inverse_widths = edges.windows(2).map(|e| 1.0 / (e[1] - e[0])).collect();
        Self { wave, edges, ln_edges, inverse_widths, forests: Default::default() }
    }

    /// For each segment of [`forest::limits`] but the first, the transmission of the lines at the bins.
    pub fn forest(&self, igm: Igm) -> &[Vec<f64>] {
        let slot = match igm {
            Igm::Kamble20 => &self.forests[0],
            Igm::Calura12 => &self.forests[1],
            Igm::Inoue14 => &self.forests[2],
            Igm::None => return &[],
        };
        slot.get_or_init(|| {
            let segment = |s| self.wave.iter().map(|&w| forest::segment_transmission(igm, s, w)).collect();
            (1..=forest::limits(igm).len()).map(segment).collect()
        })
    }
}

impl Channel {
    /// Makes the data fit for a chi2: bins that are not finite, masked, strongly negative, in [`UNUSED`]
    /// ranges or at the ends of the resolution matrix get weight 0, and so do those outside `coverage`, the range that every template spans at
    /// every redshift of its scan (models of different templates are compared on the same data).
    pub fn clean(&mut self, coverage: (f64, f64)) {
        let edges = &self.grid.edges;
        let row_sums = self.resolution.row_sums();
        for (i, &wave) in self.grid.wave.iter().enumerate() {
            let (flux, ivar) = (self.flux[i], self.ivar[i]);
            let finite = flux.is_finite() && ivar.is_finite() && ivar > 0.0;
            let spanned = edges[i] >= coverage.0 && edges[i + 1] <= coverage.1;
            let unused = UNUSED.iter().any(|r| (r.0..=r.1).contains(&wave));
            let complete = row_sums[i] >= SMALLEST_ROW_SUM;
            if !finite || unused || !spanned || !complete || flux * ivar.sqrt() < -NEGATIVE_FLUX_SIGMA {
                self.ivar[i] = 0.0;
                self.flux[i] = 0.0;
            }
        }
    }
}

impl Target {
    /// Number of bins with information, NPIXELS.
    pub fn npixels(&self) -> usize {
        self.channels.iter().map(|c| c.ivar.iter().filter(|w| **w > 0.0).count()).sum()
    }

    /// chi2 of the model 0.
    pub fn null_chi2(&self) -> f64 {
        self.channels.iter().flat_map(|c| c.flux.iter().zip(&c.ivar)).map(|(f, w)| w * f * f).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_bins_lose_their_weight_and_others_keep_it() {
        let grid = Arc::new(Grid::new((0..6).map(|i| 5570.0 + 3.0 * f64::from(i)).collect()));
        let flux = vec![1.0, f64::NAN, 1.0, 1.0, -6.0, 1.0];
        let ivar = vec![1.0, 1.0, 1.0, f64::INFINITY, 1.0, 2.0];
        let mut channel = Channel { grid, flux, ivar, resolution: Resolution::identity(6) };
        channel.clean((5000.0, 6000.0));
        assert_eq!(channel.ivar, [1.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        assert_eq!(channel.flux, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        channel.clean((5571.5, 6000.0));
        assert_eq!(channel.ivar[0], 0.0);
        let target = Target { id: 1, channels: vec![channel] };
        assert_eq!((target.npixels(), target.null_chi2()), (1, 2.0));
    }
}
