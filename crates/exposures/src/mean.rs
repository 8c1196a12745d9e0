//! The mean of the exposures of a target in one band.

use crate::hits;
use datamodel::{BandSpectra, mask::spec};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

/// A spectrum in one band: flux, inverse variance, mask, and the resolution matrix `[ndiag, nwave]`.
#[derive(Debug, Clone, Copy)]
pub struct Exposure<'a> {
    /// 1e-17 erg/s/cm2/Angstrom.
    pub flux: ArrayView1<'a, f32>,
    /// Its inverse variance.
    pub ivar: ArrayView1<'a, f32>,
    /// Not 0 where the bin is no good measurement.
    pub mask: ArrayView1<'a, u32>,
    /// Element `[k, j]` is in row `j + k - ndiag / 2`.
    pub resolution: ArrayView2<'a, f32>,
}

/// The mean of exposures; fields as in [`Exposure`].
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// 1e-17 erg/s/cm2/Angstrom.
    pub flux: Vec<f32>,
    /// Sum of the inverse variances.
    pub ivar: Vec<f32>,
    /// 0 exactly where a good measurement entered.
    pub mask: Vec<u32>,
    /// Rows are means with the weights of the flux.
    pub resolution: Array2<f32>,
}

impl<'a> Exposure<'a> {
    /// A row of a band.
    pub fn of(data: &'a BandSpectra, row: usize) -> Self {
        Self {
            flux: data.flux.row(row),
            ivar: data.ivar.row(row),
            mask: data.mask.row(row),
            resolution: data.resolution.index_axis(Axis(0), row),
        }
    }

    /// Flux and inverse variance of a bin; 0 where one of them is no measurement.
    fn measured(&self, j: usize) -> (f64, f64) {
        let (flux, ivar) = (f64::from(self.flux[j]), f64::from(self.ivar[j]));
        if flux.is_finite() && ivar.is_finite() && ivar > 0.0 { (flux, ivar) } else { (0.0, 0.0) }
    }
}

/// The mean of `exposures` on one grid, with up to `ndiag` diagonals of resolution. Masked bins and those that a cosmic ray
/// spoiled (`nsig`: sigmas from which on; 0: none are looked for) do not count; where no other is left the masked ones
/// are averaged and their masks joined.
pub fn mean(wave: &[f64], ndiag: usize, exposures: &[Exposure], nsig: f64) -> Mean {
    let nwave = wave.len();
    let (flux, weights) = weighted(wave, exposures, nsig);
    let total = weights.sum_axis(Axis(0));
    let mut out = Mean {
        flux: vec![0.0; nwave],
        ivar: vec![0.0; nwave],
        mask: vec![0; nwave],
        resolution: Array2::zeros((ndiag, nwave)),
    };
    // weights normalised bin by bin
    let mut share = weights;
    for j in 0..nwave {
        let mut sum = total[j];
        if sum == 0.0 {
            for (k, exposure) in exposures.iter().enumerate() {
                share[[k, j]] = exposure.measured(j).1;
                out.mask[j] |= exposure.mask[j];
            }
            sum = share.column(j).sum();
            out.mask[j] |= if sum == 0.0 {
                spec::NODATA
            } else if out.mask[j] == 0 {
                spec::COSMIC
            } else {
                0
            };
        }
        if sum > 0.0 {
            share.column_mut(j).mapv_inplace(|w| w / sum);
        }
        out.ivar[j] = sum as f32;
        out.flux[j] = share.column(j).iter().zip(flux.column(j)).map(|(s, f)| s * f).sum::<f64>() as f32;
    }
    for (k, exposure) in exposures.iter().enumerate() {
        add_resolution(&mut out.resolution, exposure.resolution, share.row(k));
    }
    out
}

/// Flux and weight, `[exposure, bin]`.
fn weighted(wave: &[f64], exposures: &[Exposure], nsig: f64) -> (Array2<f64>, Array2<f64>) {
    let shape = (exposures.len(), wave.len());
    let flux = Array2::from_shape_fn(shape, |(k, j)| exposures[k].measured(j).0);
    let mut weights =
        Array2::from_shape_fn(shape, |(k, j)| if exposures[k].mask[j] == 0 { exposures[k].measured(j).1 } else { 0.0 });
    if nsig > 0.0 {
        for at in hits::outliers(wave, &flux, &weights, nsig) {
            weights[at] = 0.0;
        }
    }
    (flux, weights)
}

/// Adds a resolution matrix whose row `i` counts with `share[i]`: element `data[k, j]` is in row `j + k - n`.
pub fn add_resolution(sum: &mut Array2<f32>, resolution: ArrayView2<f32>, share: ArrayView1<f64>) {
    let (ndiag, nwave) = resolution.dim();
    let (half, offset) = (ndiag / 2, (sum.nrows() - ndiag) / 2);
    for (k, diagonal) in resolution.rows().into_iter().enumerate() {
        let mut out = sum.row_mut(offset + k);
        let (first, last) = (half.saturating_sub(k), (nwave + half).saturating_sub(k).min(nwave));
        for j in first..last {
            out[j] += (share[j + k - half] * f64::from(diagonal[j])) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    /// Element (i, j) of a resolution matrix.
    fn element(r: &Array2<f32>, i: usize, j: usize) -> f32 {
        r[[i + r.nrows() / 2 - j, j]]
    }

    #[test]
    fn the_mean_is_weighted_and_bad_bins_count_nothing() {
        let band = |flux: [[f32; 4]; 1], ivar: [[f32; 4]; 1], mask: [[u32; 4]; 1], profile: &[f32]| BandSpectra {
            wave: vec![1.0, 2.0, 3.0, 4.0],
            flux: arr2(&flux),
            ivar: arr2(&ivar),
            mask: arr2(&mask),
            resolution: ndarray::Array3::from_shape_fn((1, profile.len(), 4), |(_, k, _)| profile[k]),
        };
        let a = band([[1.0, 1.0, f32::NAN, 1.0]], [[1.0; 4]], [[0, 0, 0, 4]], &[0.2, 0.6, 0.2]);
        let b = band([[4.0; 4]], [[2.0, 0.0, 2.0, f32::NAN]], [[0; 4]], &[1.0]);
        let m = mean(&a.wave, 3, &[Exposure::of(&a, 0), Exposure::of(&b, 0)], 0.0);
        assert_eq!(m.ivar, [3.0, 1.0, 2.0, 1.0]);
        assert_eq!(m.flux, [3.0, 1.0, 4.0, 1.0]);
        assert_eq!(m.mask, [0, 0, 0, 4]);
        assert!((element(&m.resolution, 0, 0) - (0.6 + 2.0) / 3.0).abs() < 1e-6);
        assert!((element(&m.resolution, 1, 2) - 0.2).abs() < 1e-7);
        assert_eq!((element(&m.resolution, 2, 1), element(&m.resolution, 2, 2)), (0.0, 1.0));
    }
}
