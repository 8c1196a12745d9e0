//! The mean of the exposures of a target in one band.

use crate::cosmics;
use datamodel::{BandSpectra, mask::spec};
use ndarray::{Array1, Array2, Array3, Axis};

/// The sum of a target's exposures.
pub(crate) struct Sum {
    flux: Vec<f32>,
    ivar: Vec<f32>,
    mask: Vec<u32>,
    /// `[ndiag, nwave]`.
    resolution: Array2<f32>,
}

/// Sums `rows` of a band. Masked bins and those that a cosmic ray spoiled do not count; where no other is left the masked ones
/// are averaged and their masks joined, so that mask is 0 exactly where a good measurement entered.
pub(crate) fn sum(data: &BandSpectra, rows: &[usize], nsig: f64) -> Sum {
    let (nwave, ndiag) = (data.wave.len(), data.resolution.dim().1);
    let (flux, weights) = weighted(data, rows, nsig);
    let total = weights.sum_axis(Axis(0));
    let mut out = Sum {
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
            for (k, &row) in rows.iter().enumerate() {
                share[[k, j]] = f64::from(data.ivar[[row, j]]);
                out.mask[j] |= data.mask[[row, j]];
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
        out.flux[j] = share.column(j).dot(&flux.column(j)) as f32;
    }
    for (k, &row) in rows.iter().enumerate() {
        add_resolution(&mut out.resolution, data.resolution.index_axis(Axis(0), row), share.row(k));
    }
    out
}

/// Flux and weight of the rows, `[row, bin]`.
fn weighted(data: &BandSpectra, rows: &[usize], nsig: f64) -> (Array2<f64>, Array2<f64>) {
    let nwave = data.wave.len();
    let flux = Array2::from_shape_fn((rows.len(), nwave), |(k, j)| f64::from(data.flux[[rows[k], j]]));
    let mut weights = Array2::from_shape_fn((rows.len(), nwave), |(k, j)| {
        if data.mask[[rows[k], j]] == 0 { f64::from(data.ivar[[rows[k], j]]) } else { 0.0 }
    });
    if nsig > 0.0 {
        for at in cosmics::outliers(&data.wave, &flux, &weights, nsig) {
            weights[at] = 0.0;
        }
    }
    (flux, weights)
}

/// Adds a resolution matrix whose row `i` counts with `share[i]`: element `data[k, j]` is in row `j + k - n`.
pub(crate) fn add_resolution(
    sum: &mut Array2<f32>,
    resolution: ndarray::ArrayView2<f32>,
    share: ndarray::ArrayView1<f64>,
) {
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

/// The band of all targets.
pub(crate) fn stack(data: &BandSpectra, sums: Vec<Sum>) -> BandSpectra {
    let (n, nwave, ndiag) = (sums.len(), data.wave.len(), data.resolution.dim().1);
    let mut out = BandSpectra {
        wave: data.wave.clone(),
        flux: Array2::zeros((n, nwave)),
        ivar: Array2::zeros((n, nwave)),
        mask: Array2::zeros((n, nwave)),
        resolution: Array3::zeros((n, ndiag, nwave)),
    };
    for (i, sum) in sums.into_iter().enumerate() {
        out.flux.row_mut(i).assign(&Array1::from(sum.flux));
        out.ivar.row_mut(i).assign(&Array1::from(sum.ivar));
        out.mask.row_mut(i).assign(&Array1::from(sum.mask));
        out.resolution.index_axis_mut(Axis(0), i).assign(&sum.resolution);
    }
    out
}
