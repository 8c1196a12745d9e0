//! How well the model describes the pixels, and which bins to trust.

use crate::{
    pixels::{Pixels, flat},
    projection::Projection,
};
use datamodel::mask::spec;
use ndarray::Array2;
use numerics::robust::median;
use rayon::prelude::*;
use std::ops::Range;

/// A bin whose spot lost more than this fraction of its light to bad pixels is flagged SOMEBADPIX.
const BAD_FRACTION: f64 = 0.5;
/// A bin whose spot has less than this fraction of its light on good pixels has no flux.
const NO_LIGHT: f64 = 1e-4;
/// A bin is flagged BAD2DFIT if its chi2pix exceeds this times the median of its fibre and of its wavelength.
const BAD_FIT: f32 = 5.0;

/// The model of some columns of the image.
#[derive(Debug, Clone)]
pub struct Window {
    /// Columns of the image.
    pub columns: Range<usize>,
    /// Electrons, `[ny, columns]`.
    pub values: Vec<f64>,
}

/// `A f` for the deconvolved fluxes of a bundle, `[nfiber][nwave]`, electrons per bin.
pub fn model(a: &Projection, fluxes: &[&[f64]], rows: usize) -> Window {
    let columns = a.columns();
    let width = columns.len();
    let mut values = vec![0.0; rows * width];
    for (f, flux) in fluxes.iter().enumerate() {
        for (i, &flux) in flux.iter().enumerate().filter(|(_, f)| **f != 0.0) {
            let Some(column) = a.column(f, i) else { continue };
            a.for_rows(column, |y, x, spot, _| {
                let row = &mut values[y * width + x - columns.start..];
                row.iter_mut().zip(spot).for_each(|(m, s)| *m += flux * s);
            });
        }
    }
    Window { columns, values }
}

/// Mean of the pixels' chi2 under each spot, weighted by the spot, over pixels with a weight: `[nfiber, nwave]`.
/// `psf_error` is the fractional error of the PSF, added to the pixels' variance.
pub fn chi2pix(a: &Projection, pixels: &Pixels, window: &Window, psf_error: f64) -> Vec<f64> {
    let (first, width) = (window.columns.start, window.columns.len());
    let image_rows = flat(&pixels.value).chunks(pixels.shape().1).zip(flat(&pixels.weight).chunks(pixels.shape().1));
    let model_rows = window.values.chunks(width.max(1));
    let chi2: Vec<f64> = model_rows
        .zip(image_rows)
        .flat_map(|(m, (p, w))| m.iter().zip(&p[window.columns.clone()]).zip(&w[window.columns.clone()]))
        .map(|((m, p), w)| {
            let variance = 1.0 / f64::from(*w) + (psf_error * m).powi(2);
            if *w > 0.0 { (f64::from(*p) - m).powi(2) / variance } else { -1.0 }
        })
        .collect();
    let of_column = |k: usize| {
        let (mut sum, mut norm) = (0.0, 0.0);
        let Some(column) = a.column(k / a.nwave, k % a.nwave) else { return 0.0 };
        a.for_rows(column, |y, x, spot, _| {
            for (s, &c) in spot.iter().zip(&chi2[y * width + x - first..]) {
                let used = if c >= 0.0 { *s } else { 0.0 };
                sum += used * c;
                norm += used;
            }
        });
        if norm > 0.0 { sum / norm } else { 0.0 }
    };
    (0..a.nfiber * a.nwave).into_par_iter().map(of_column).collect()
}

/// Mask bits of a bin from whether the PSF covers it and the fraction of its light on good pixels.
pub fn pixel_bits(present: bool, covered: f64) -> u32 {
    match covered {
        _ if !present => spec::NODATA,
        c if c < NO_LIGHT => spec::SOMEBADPIX | spec::ALLBADPIX,
        c if c < 1.0 - BAD_FRACTION => spec::SOMEBADPIX,
        _ => 0,
    }
}

/// Sets BAD2DFIT where chi2pix stands out both from its fibre and from the other fibres at its wavelength.
pub fn flag_bad_fits(chi2pix: &Array2<f32>, mask: &mut Array2<u32>) {
    let centre = |lane: ndarray::ArrayView1<f32>| {
        let used: Vec<f64> = lane.iter().filter(|c| **c > 0.0).map(|c| f64::from(*c)).collect();
        median(&used).unwrap_or(0.0) as f32
    };
    let of_fiber: Vec<f32> = chi2pix.rows().into_iter().map(centre).collect();
    let of_wave: Vec<f32> = chi2pix.columns().into_iter().map(centre).collect();
    for ((f, i), &c) in chi2pix.indexed_iter() {
        if c > BAD_FIT * of_fiber[f] && c > BAD_FIT * of_wave[i] {
            mask[(f, i)] |= spec::BAD2DFIT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_say_why_a_bin_is_bad() {
        assert_eq!(pixel_bits(true, 1.0), 0);
        assert_eq!(pixel_bits(true, 0.4), spec::SOMEBADPIX);
        assert_eq!(pixel_bits(true, 0.0), spec::SOMEBADPIX | spec::ALLBADPIX);
        assert_eq!(pixel_bits(false, 0.0), spec::NODATA);
    }

    #[test]
    fn a_bad_fit_stands_out_in_both_directions() {
        let mut chi2 = Array2::from_elem((9, 9), 1.0f32);
        chi2.row_mut(1).fill(10.0); // a fibre that is bad throughout
        chi2[(2, 5)] = 6.0;
        let mut mask = Array2::zeros((9, 9));
        flag_bad_fits(&chi2, &mut mask);
        assert_eq!(mask.iter().filter(|m| **m != 0).count(), 1);
        assert_eq!(mask[(2, 5)], spec::BAD2DFIT);
    }
}
