//! The expected electrons of each pixel of a fibre spectrograph's image, predicted from its neighbours: what
//! the Poisson variance needs.
//!
//! Taking a pixel's own count as its variance makes every upward fluctuation weigh less, and an extraction
//! comes out low by about one electron per pixel of the profile. A prediction that leaves the pixel itself out
//! has no such bias, whatever its own noise. Near any pixel the image is close to a product
//! `I(x, y) = c(x) S(y)`: the profile of a fibre across the dispersion times its spectrum. `c` comes from the
//! rows above and below, `S` from the pixels beside, both without the pixel itself.

use crate::robust;
use ndarray::{Array2, ArrayView2, Axis, Zip, s};

/// Rows above and below that the profile is averaged over. Traces tilt by less than 0.1 pixel over them.
const HALF_ROWS: usize = 8;
/// Columns to each side whose sum traces the spectrum: with the pixel itself about one fibre pitch (7.26 pixels).
const HALF_COLUMNS: usize = 3;
/// A row's sum that differs from the median of its surroundings by more than this many sigma is a line, and the
/// row's own sum is used; else the median, which is less noisy and does not respond to the row's own noise.
const LINE_SIGMA: f64 = 3.0;

/// Columns that are worked on at a time: what fits into the cache.
const BLOCK: usize = 64;

/// Expected electrons, at least 0, of each pixel of `image` (electrons, `[y, x]`, y along the dispersion).
/// Pixels where `good` is false are left out of every sum but get a prediction too; `readnoise` in electrons.
pub fn expected_electrons(image: ArrayView2<f32>, good: ArrayView2<bool>, readnoise: ArrayView2<f32>) -> Array2<f32> {
    let nx = image.ncols();
    let mut out = Array2::zeros(image.dim());
    for x0 in (0..nx).step_by(BLOCK) {
        let x1 = (x0 + BLOCK).min(nx);
        let (left, right) = (x0.saturating_sub(HALF_COLUMNS), (x1 + HALF_COLUMNS).min(nx));
        let part = s![.., left..right];
        let block = expected_block(image.slice(part), good.slice(part), readnoise.slice(part));
        out.slice_mut(s![.., x0..x1]).assign(&block.slice(s![.., x0 - left..x1 - left]));
    }
    out
}

/// [`expected_electrons`] of a few columns.
fn expected_block(image: ArrayView2<f32>, good: ArrayView2<bool>, readnoise: ArrayView2<f32>) -> Array2<f32> {
    let weight = good.mapv(|g| if g { 1.0 } else { 0.0 });
    let light = Zip::from(image).and(good).map_collect(|&v, &g| if g { f64::from(v) } else { 0.0 });
    let noise = Zip::from(readnoise).and(good).map_collect(|&r, &g| if g { f64::from(r).powi(2) } else { 0.0 });
    // sums over the columns beside, without the pixel's own column: light, read-noise variance, pixels
    let beside = sum_beside(&light);
    let beside_noise = sum_beside(&noise);
    let beside_count = sum_beside(&weight);
    // sums over the rows above and below, without the pixel's own row
    let above = sum_above(&light);
    let above_count = sum_above(&weight);
    let around = sum_above(&beside);
    let around_count = sum_above(&beside_count);

    let around_noise = sum_above(&beside_noise);

    let (ny, nx) = image.dim();
    let mut out = Array2::zeros((ny, nx));
    Zip::indexed(out.axis_iter_mut(Axis(1))).for_each(|x, mut column| {
        let row_means: Vec<Mean> =
            (0..ny).map(|y| Mean::new(beside[[y, x]], beside_count[[y, x]], beside_noise[[y, x]])).collect();
        let values: Vec<f64> = row_means.iter().map(|m| m.value).collect();
        let usable: Vec<bool> = row_means.iter().map(|m| m.count > 0.0).collect();
        let smooth = robust::running_median(&values, &usable, 2 * HALF_ROWS + 1);
        for y in 0..ny {
            let near = Mean::new(around[[y, x]], around_count[[y, x]], around_noise[[y, x]]);
            let row = spectrum_level(&row_means[y], smooth[y]);
            let above = Mean::new(above[[y, x]], above_count[[y, x]], 0.0);
            let profile = if above.count > 0.0 { above.value } else { row };
            column[y] = (profile * near.ratio(row)).max(0.0) as f32;
        }
    });
    out
}

/// A mean over pixels that knows how noisy it is.
struct Mean {
    value: f64,
    count: f64,
    /// Sum of the squared read noise over the pixels.
    noise: f64,
}

impl Mean {
    fn new(sum: f64, count: f64, noise: f64) -> Self {
        Self { value: if count > 0.0 { sum / count } else { 0.0 }, count, noise }
    }

    /// Sigma of the mean if `level` electrons are expected in each pixel.
    fn sigma(&self, level: f64) -> f64 {
        if self.count > 0.0 {
            (level.max(0.0) / self.count + self.noise / (self.count * self.count)).sqrt()
        } else {
            f64::INFINITY
        }
    }

    /// `level` over this mean, or 1 where they do not differ significantly or this mean is no light.
    fn ratio(&self, level: f64) -> f64 {
        let sigma = self.sigma(self.value);
        let differ = (level - self.value).abs() > LINE_SIGMA * sigma;
        if differ && self.value > LINE_SIGMA * sigma { level.max(0.0) / self.value } else { 1.0 }
    }
}

/// The light of a row per pixel: its own mean on a line, else the median of the rows around.
fn spectrum_level(own: &Mean, median: f64) -> f64 {
    let median = if median.is_finite() { median } else { 0.0 };
    if (own.value - median).abs() > LINE_SIGMA * own.sigma(median) { own.value } else { median }
}

/// For each pixel the sum over the columns within [`HALF_COLUMNS`], its own left out.
fn sum_beside(a: &Array2<f64>) -> Array2<f64> {
    let nx = a.ncols();
    let mut out = Array2::zeros(a.dim());
    for (mut o, row) in out.rows_mut().into_iter().zip(a.rows()) {
        for x in 0..nx {
            let (lo, hi) = (x.saturating_sub(HALF_COLUMNS), (x + HALF_COLUMNS).min(nx - 1));
            o[x] = (lo..=hi).filter(|&i| i != x).map(|i| row[i]).sum();
        }
    }
    out
}

/// For each pixel the sum over the rows within [`HALF_ROWS`], its own left out.
fn sum_above(a: &Array2<f64>) -> Array2<f64> {
    let (ny, nx) = a.dim();
    let mut out = Array2::zeros((ny, nx));
    // prefix[y] holds the sum of rows 0 .. y
    let mut prefix = Array2::zeros((ny + 1, nx));
    for y in 0..ny {
        let next = &prefix.row(y) + &a.row(y);
        prefix.row_mut(y + 1).assign(&next);
    }
    for y in 0..ny {
        let (lo, hi) = (y.saturating_sub(HALF_ROWS), (y + HALF_ROWS + 1).min(ny));
        let sum = &prefix.row(hi) - &prefix.row(lo) - a.row(y);
        out.row_mut(y).assign(&sum);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: (usize, usize) = (120, 60);

    /// Fibres with a continuum and lines: a profile times a spectrum.
    fn fibres() -> Array2<f32> {
        Array2::from_shape_fn(SHAPE, |(y, x)| {
            let across = (-0.5 * ((x as f64 % 7.0 - 3.0) / 1.1).powi(2)).exp();
            let lines: f64 = [30.3, 71.8].iter().map(|c| 40.0 * (-0.5 * ((y as f64 - c) / 1.1).powi(2)).exp()).sum();
            (100.0 * across * (1.0 + lines)) as f32
        })
    }

    #[test]
    fn a_profile_times_a_spectrum_is_predicted_exactly() {
        let image = fibres();
        let all = Array2::from_elem(SHAPE, true);
        let expected = expected_electrons(image.view(), all.view(), Array2::from_elem(SHAPE, 3.0).view());
        for ((y, x), value) in image.indexed_iter().filter(|(_, v)| **v > 1.0) {
            let ratio = expected[[y, x]] / value;
            // rows that do not rise significantly above the median count as continuum
            assert!((ratio - 1.0).abs() < 0.15, "{y} {x}: {value} predicted as {}", expected[[y, x]]);
            if *value > 1000.0 {
                assert!((ratio - 1.0).abs() < 0.01, "{y} {x}: {ratio}");
            }
        }
    }

    #[test]
    fn a_pixel_has_no_part_in_its_own_prediction_and_a_bad_one_in_none() {
        let (mut image, noise) = (fibres(), Array2::from_elem(SHAPE, 3.0));
        let mut good = Array2::from_elem(SHAPE, true);
        let before = expected_electrons(image.view(), good.view(), noise.view());
        image[[50, 17]] += 60.0;
        let after = expected_electrons(image.view(), good.view(), noise.view());
        assert_eq!(before[[50, 17]], after[[50, 17]]);
        good[[50, 17]] = false;
        let masked = expected_electrons(image.view(), good.view(), noise.view());
        image[[50, 17]] = f32::NAN;
        assert_eq!(masked, expected_electrons(image.view(), good.view(), noise.view()));
        assert!(masked.iter().all(|v| v.is_finite() && *v >= 0.0));
    }
}
