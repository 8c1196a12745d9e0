//! The expected electrons of each pixel of a fibre spectrograph's image, predicted from its neighbours: what
//! the Poisson variance needs.
//!
//! Taking a pixel's own count as its variance makes every upward fluctuation weigh less, and an extraction
//! comes out low by about one electron per pixel of the profile. A prediction that leaves the pixel itself out
//! has no such bias, whatever its own noise. Near any pixel the image is close to a product
//! `I(x, y) = c(x) S(y)`: the profile of a fibre across the dispersion times its spectrum. `c` comes from the
//! rows above and below, `S` from the pixels beside, both without the pixel itself.
//!
//! An image has 17 million pixels: sums run down the rows, and medians are taken of [`COLUMNS`] columns at once.

use crate::dispatch;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Zip};

/// Rows above and below that the profile is averaged over. Traces tilt by less than 0.1 pixel over them.
const HALF_ROWS: usize = 8;
/// Rows of a window.
const ROWS: usize = 2 * HALF_ROWS + 1;
/// Columns to each side whose sum traces the spectrum: with the pixel itself about one fibre pitch (7.26 pixels).
const HALF_COLUMNS: usize = 3;
/// A row's sum that differs from the median of its surroundings by more than this many sigma is a line, and the
/// row's own sum is used; else the mean of those around that are no lines either, which is less noisy and does not respond to the
/// row's own noise.
const LINE_SIGMA: f32 = 3.0;
/// Least prediction over the squared read noise: the variance is positive, whatever the neighbours do.
pub const LEAST: f32 = -0.5;
/// Columns that are worked on together: a register of AVX2, two of every x86-64 and ARM64.
const LANES: usize = 8;
/// Columns whose medians are taken together, several lanes; rows are whole numbers of these.
const COLUMNS: usize = 4 * LANES;
/// Rows that [`expected_electrons`] hands to [`expected_rows`] at a time; sums start anew in each.
pub const BAND: usize = 256;

/// Expected electrons of each pixel of `image` (electrons, `[y, x]`, y along the dispersion).
/// Pixels where `good` is false are left out of every sum but get a prediction too; `readnoise` in electrons.
///
/// Where there is no light the prediction is as often negative as positive (at least [`LEAST`] of the squared read noise): were
/// it not, the variance of such pixels would be 3 % too high on average.
pub fn expected_electrons(image: ArrayView2<f32>, good: ArrayView2<bool>, readnoise: ArrayView2<f32>) -> Array2<f32> {
    let mut out = Array2::zeros(image.dim());
    for (band, rows) in out.axis_chunks_iter_mut(Axis(0), BAND).enumerate() {
        expected_rows(image, good, readnoise, band * BAND, rows);
    }
    out
}

dispatch! {
    /// [`expected_electrons`] of the rows from `first` on, `out` (`[rows, nx]`): images are cut at multiples of [`BAND`], so that
    /// the result does not depend on who works on which rows.
    pub fn expected_rows(
        image: ArrayView2<f32>, good: ArrayView2<bool>, readnoise: ArrayView2<f32>, first: usize, out: ArrayViewMut2<f32>
    ) -> () = predict_rows | predict_rows
}

#[inline(always)]
fn predict_rows(
    image: ArrayView2<f32>,
    good: ArrayView2<bool>,
    readnoise: ArrayView2<f32>,
    first: usize,
    mut out: ArrayViewMut2<f32>,
) {
    let (ny, nx) = image.dim();
    let mut window = Window::new(nx);
    let (mut medians, mut continuum) = (vec![0.0; window.width], vec![0.0; window.width]);
    let enter = |window: &mut Window, y: usize| {
        if y < ny {
            window.enter(y, image.row(y), good.row(y), readnoise.row(y));
        } else {
            window.enter_nothing(y);
        }
    };
    (first.saturating_sub(HALF_ROWS)..first + HALF_ROWS).for_each(|y| enter(&mut window, y));
    for (i, mut row) in out.rows_mut().into_iter().enumerate() {
        let y = first + i;
        enter(&mut window, y + HALF_ROWS);
        window.medians(y, i % 2 == 0, &mut medians);
        window.continuum(y, &medians, &mut continuum);
        window.predict(y, &medians, &continuum, readnoise.row(y), row.as_slice_mut().unwrap_or_default());
        if y >= HALF_ROWS {
            window.leave(y - HALF_ROWS);
        }
    }
}

/// What is known of one row, each `[width]`.
#[derive(Clone)]
struct Row {
    /// Electrons of the pixels, 0 of bad ones, and how many pixels that is.
    light: Vec<f32>,
    count: Vec<f32>,
    /// The same of the columns beside, without the pixel's own, and their squared read noise.
    beside: Vec<f32>,
    beside_count: Vec<f32>,
    beside_noise: Vec<f32>,
    /// `beside / beside_count`; infinite without pixels.
    mean: Vec<f32>,
}

/// The rows around one, and the sums over them.
struct Window {
    width: usize,
    rows: Vec<Row>,
    light: Vec<f64>,
    count: Vec<f32>,
    beside: Vec<f64>,
    beside_count: Vec<f32>,
    beside_noise: Vec<f64>,
    /// A row of the image with [`HALF_COLUMNS`] zeros at both ends: light, pixels, squared read noise.
    padded: [Vec<f32>; 3],
    /// Bounds of the medians, see [`Window::medians`].
    low: Vec<f32>,
    high: Vec<f32>,
    /// Read noise of the row that is predicted.
    noise: Vec<f32>,
}

impl Window {
    fn new(nx: usize) -> Self {
        // the columns too many hold no pixel
        let width = nx.next_multiple_of(COLUMNS);
        let empty = || vec![0.0; width];
        let row = Row {
            light: empty(),
            count: empty(),
            beside: empty(),
            beside_count: empty(),
            beside_noise: empty(),
            mean: empty(),
        };
        let mut window = Self {
            width,
            rows: vec![row; ROWS],
            light: vec![0.0; width],
            count: empty(),
            beside: vec![0.0; width],
            beside_count: empty(),
            beside_noise: vec![0.0; width],
            padded: std::array::from_fn(|_| vec![0.0; width + 2 * HALF_COLUMNS]),
            low: empty(),
            high: empty(),
            noise: empty(),
        };
        (0..ROWS).for_each(|y| window.enter_nothing(y));
        window
    }

    /// A row beyond the image.
    #[inline(always)]
    fn enter_nothing(&mut self, y: usize) {
        let row = &mut self.rows[y % ROWS];
        for values in [&mut row.light, &mut row.count, &mut row.beside, &mut row.beside_count, &mut row.beside_noise] {
            values.fill(0.0);
        }
        row.mean.fill(nothing(y));
    }

    #[inline(always)]
    fn enter(&mut self, y: usize, light: ArrayView1<f32>, good: ArrayView1<bool>, readnoise: ArrayView1<f32>) {
        let [values, ones, noise] = &mut self.padded;
        let inner = HALF_COLUMNS..HALF_COLUMNS + light.len();
        let padded = |values| ArrayViewMut1::from(values);
        Zip::from(padded(&mut values[inner.clone()]))
            .and(padded(&mut ones[inner.clone()]))
            .and(padded(&mut noise[inner]))
            .and(light)
            .and(good)
            .and(readnoise)
            .for_each(|value, one, noise, &l, &g, &r| {
                *value = if g { l } else { 0.0 };
                *one = if g { 1.0 } else { 0.0 };
                *noise = if g { r * r } else { 0.0 };
            });
        let row = &mut self.rows[y % ROWS];
        row.light.copy_from_slice(&values[HALF_COLUMNS..][..self.width]);
        row.count.copy_from_slice(&ones[HALF_COLUMNS..][..self.width]);
        sum_beside(values, &mut row.beside);
        sum_beside(ones, &mut row.beside_count);
        sum_beside(noise, &mut row.beside_noise);
        for ((mean, sum), n) in row.mean.iter_mut().zip(&row.beside).zip(&row.beside_count) {
            *mean = if *n > 0.0 { sum / n } else { nothing(y) };
        }
        self.add(y, 1.0);
    }

    #[inline(always)]
    fn leave(&mut self, y: usize) {
        self.add(y, -1.0);
    }

    #[inline(always)]
    fn add(&mut self, y: usize, sign: f32) {
        let row = &self.rows[y % ROWS];
        let wide = f64::from(sign);
        let add = |sums: &mut [f64], values: &[f32]| {
            sums.iter_mut().zip(values).for_each(|(s, v)| *s += wide * f64::from(*v));
        };
        add(&mut self.light, &row.light);
        add(&mut self.beside, &row.beside);
        add(&mut self.beside_noise, &row.beside_noise);
        let add = |sums: &mut [f32], values: &[f32]| sums.iter_mut().zip(values).for_each(|(s, v)| *s += sign * v);
        add(&mut self.count, &row.count);
        add(&mut self.beside_count, &row.beside_count);
    }

    /// Medians over the window of row `y` of the rows' means; rows without one count as infinite of alternating sign.
    /// The windows of two rows, the first and the one after, have all rows but one in common: of these the middle two are
    /// found once, and the median is the value of the row that is not in common, if it lies between them, or the nearer of them.
    #[inline(always)]
    fn medians(&mut self, y: usize, is_first: bool, out: &mut [f32]) {
        if is_first {
            self.find_middle(y);
        }
        let own = &self.rows[(y + HALF_ROWS + usize::from(is_first)) % ROWS].mean;
        for (((out, own), low), high) in out.iter_mut().zip(own).zip(&self.low).zip(&self.high) {
            let below = if *own < *high { *own } else { *high };
            *out = if below > *low { below } else { *low };
        }
    }

    /// The middle two of all rows of the window of row `y` but the first.
    #[inline(always)]
    fn find_middle(&mut self, y: usize) {
        let rows: [&[[f32; COLUMNS]]; ROWS - 1] =
            std::array::from_fn(|k| self.rows[(y + HALF_ROWS + 2 + k) % ROWS].mean.as_chunks().0);
        let (low, high) = (self.low.as_chunks_mut::<COLUMNS>().0, self.high.as_chunks_mut::<COLUMNS>().0);
        for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
            let rows = rows.map(|row| &row[i]);
            // in variables of its own, which nothing else refers to
            let mut middle = [[0.0; COLUMNS]; 2];
            for x in 0..COLUMNS {
                let two = middle_two(rows.map(|row| row[x]));
                (middle[0][x], middle[1][x]) = (two[0], two[1]);
            }
            [*low, *high] = middle;
        }
    }

    /// Mean of the other rows that do not differ from the median like a line does. The median itself lies above most rows between
    /// crowded lines, as those are a tail of high values that is partly taken out.
    #[inline(always)]
    fn continuum(&self, y: usize, medians: &[f32], out: &mut [f32]) {
        let own = &self.rows[y % ROWS];
        let others: [&[Lane]; ROWS - 1] = std::array::from_fn(|k| lanes(&self.rows[(y + 1 + k) % ROWS].mean));
        let limits = |i: usize, median: Lane| -> Lane {
            let (count, noise) = (lanes(&own.beside_count)[i], lanes(&own.beside_noise)[i]);
            // a row without a pixel beside has no limit, but rows without any mean stay out
            std::array::from_fn(|j| line(variance(median[j], count[j], noise[j])).min(f32::MAX))
        };
        for (i, (out, median)) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(lanes(medians)).enumerate() {
            let limit = limits(i, *median);
            let (mut sum, mut count): (Lane, Lane) = ([0.0; LANES], [0.0; LANES]);
            for row in others {
                let mean = row[i];
                for j in 0..LANES {
                    let excess = mean[j] - median[j];
                    let close = excess * excess <= limit[j];
                    sum[j] += if close { mean[j] } else { 0.0 };
                    count[j] += if close { 1.0 } else { 0.0 };
                }
            }
            let finite = |m: f32| if m.is_finite() { m } else { 0.0 };
            *out = std::array::from_fn(|j| if count[j] > 0.0 { sum[j] / count[j] } else { finite(median[j]) });
        }
    }

    /// The prediction for row `y`, the middle of the window.
    #[inline(always)]
    fn predict(&mut self, y: usize, medians: &[f32], continuum: &[f32], readnoise: ArrayView1<f32>, out: &mut [f32]) {
        ArrayViewMut1::from(&mut self.noise[..readnoise.len()]).assign(&readnoise);
        let (n, row) = (out.len(), &self.rows[y % ROWS]);
        let (medians, continuum, readnoise) = (&medians[..n], &continuum[..n], &self.noise[..n]);
        let (own_light, own_count, own_mean) = (&row.light[..n], &row.count[..n], &row.mean[..n]);
        let (own_beside, own_beside_count, own_noise) =
            (&row.beside[..n], &row.beside_count[..n], &row.beside_noise[..n]);
        let (light, counts) = (&self.light[..n], &self.count[..n]);
        let (beside, beside_count, beside_noise) =
            (&self.beside[..n], &self.beside_count[..n], &self.beside_noise[..n]);
        for x in 0..n {
            let count = own_beside_count[x];
            let excess = own_mean[x] - medians[x];
            // without a pixel beside the limit is no number and the comparison false
            let is_line = excess * excess > line(variance(medians[x], count, own_noise[x]));
            let row = if is_line { own_mean[x] } else { continuum[x] };

            let around_count = beside_count[x] - count;
            let around = (beside[x] - f64::from(own_beside[x])) as f32 / around_count;
            let noise = (beside_noise[x] - f64::from(own_noise[x])) as f32;
            let limit = line(variance(around, around_count, noise));
            let seen = (around > 0.0) & (around * around > limit);
            let quotient = row.max(0.0) / around;
            let ratio = if seen { quotient } else { 1.0 };

            let above_count = counts[x] - own_count[x];
            let above = (light[x] - f64::from(own_light[x])) as f32 / above_count;
            let profile = if above_count > 0.0 { above } else { row };
            out[x] = (profile * ratio).max(LEAST * readnoise[x] * readnoise[x]);
        }
    }
}

/// What stands for the mean of a row without pixels: half of them count as high and half as low.
#[inline(always)]
fn nothing(y: usize) -> f32 {
    if y.is_multiple_of(2) { f32::INFINITY } else { f32::NEG_INFINITY }
}

/// Variance of the mean of `count` pixels of `level` electrons each whose squared read noise sums to `noise`.
#[inline(always)]
fn variance(level: f32, count: f32, noise: f32) -> f32 {
    level.max(0.0) / count + noise / (count * count)
}

/// The squared difference from which on a level is not a fluctuation.
#[inline(always)]
fn line(variance: f32) -> f32 {
    LINE_SIGMA * LINE_SIGMA * variance
}

/// For each pixel the sum over the columns within [`HALF_COLUMNS`], its own left out.
#[inline(always)]
fn sum_beside(padded: &[f32], out: &mut [f32]) {
    for (x, out) in out.iter_mut().enumerate() {
        let near = &padded[x..x + 2 * HALF_COLUMNS + 1];
        *out = (near[0] + near[1] + near[2]) + (near[4] + near[5] + near[6]);
    }
}

type Lane = [f32; LANES];

/// Values that are whole lanes.
#[inline(always)]
fn lanes(values: &[f32]) -> &[Lane] {
    values.as_chunks().0
}

/// The middle two of an even number of values. Of more than half of the values neither the smallest nor the largest
/// can be one of them: they are dropped and another value comes in, until two are left.
#[inline(always)]
fn middle_two(values: [f32; ROWS - 1]) -> [f32; 2] {
    const START: usize = HALF_ROWS + 2;
    let mut v: [f32; START] = std::array::from_fn(|k| values[k]);
    drop_extremes::<10>(&mut v, values[10]);
    drop_extremes::<9>(&mut v, values[11]);
    drop_extremes::<8>(&mut v, values[12]);
    drop_extremes::<7>(&mut v, values[13]);
    drop_extremes::<6>(&mut v, values[14]);
    drop_extremes::<5>(&mut v, values[15]);
    drop_extremes::<4>(&mut v, 0.0);
    order(&mut v, 1, 2);
    [v[1], v[2]]
}

/// Puts the smallest of the first `K` values into the first place, where `next` replaces it, and the largest into the last.
#[inline(always)]
fn drop_extremes<const K: usize>(v: &mut [f32; 10], next: f32) {
    for i in 0..K / 2 {
        order(v, i, K - 1 - i);
    }
    for i in 1..K.div_ceil(2) {
        order(v, 0, i);
    }
    for i in K / 2..K - 1 {
        order(v, i, K - 1);
    }
    v[0] = next;
}

#[inline(always)]
fn order(v: &mut [f32; 10], i: usize, j: usize) {
    let (a, b) = (v[i], v[j]);
    v[i] = if a < b { a } else { b };
    v[j] = if a > b { a } else { b };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_two_and_one_more_value_are_the_median_of_seventeen() {
        for j in 0..7 {
            let value = |k: usize| if k % 5 == j { nothing(k) } else { ((k * 29 + j * 7) * 37 % 101) as f32 };
            let [low, high] = middle_two(std::array::from_fn(value));
            let mut all: Vec<f32> = (0..ROWS).map(value).collect();
            all.sort_by(f32::total_cmp);
            assert_eq!(value(ROWS - 1).min(high).max(low), all[HALF_ROWS]);
        }
    }

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

    /// Gaussian numbers: sums of twelve uniform ones, from a linear congruential generator.
    fn gaussian() -> impl FnMut() -> f32 {
        let mut state = 1u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        move || (0..12).map(|_| uniform()).sum::<f32>() - 6.0
    }

    /// Lines as crowded as the airglow beyond 7500 Angstrom, faint enough to hide in the noise of a row: neither they nor the gaps
    /// between them are predicted too high on average.
    #[test]
    fn crowded_faint_lines_are_predicted_without_bias() {
        let (mut noise, readnoise) = (gaussian(), 3.0);
        let line = |k: u32| (7.3 * f64::from(k), 60.0 * f64::from(k * 37 % 11) / 10.0);
        let spectrum = |y: f64| {
            15.0 + (0..70).map(line).map(|(at, peak)| peak * (-0.5 * ((y - at) / 1.2).powi(2)).exp()).sum::<f64>()
        };
        let truth = Array2::from_shape_fn((500, 200), |(y, x)| {
            let across = (-0.5 * ((x as f64 % 7.0 - 3.0) / 1.2).powi(2)).exp();
            (across * spectrum(y as f64)) as f32
        });
        let image = truth.mapv(|t| t + noise() * (t + readnoise * readnoise).sqrt());
        let all = Array2::from_elem(image.dim(), true);
        let expected = expected_electrons(image.view(), all.view(), Array2::from_elem(image.dim(), readnoise).view());
        let ratio = |(&e, &t): (&f32, &f32)| f64::from((e + readnoise * readnoise) / (t + readnoise * readnoise));
        let inside: Vec<f64> = expected.iter().zip(&truth).filter(|(_, t)| **t > 8.0).map(ratio).collect();
        let mean = inside.iter().sum::<f64>() / inside.len() as f64;
        assert!((mean - 1.0).abs() < 0.015, "{mean} over {} pixels", inside.len());
    }

    /// Noise alone: the variance is that of the pixels on average, with or without many masked neighbours.
    #[test]
    fn darkness_is_predicted_without_bias() {
        let sigma = 3.0;
        let mut unit = gaussian();
        let image = Array2::from_shape_fn((300, 200), |_| sigma * unit());
        let noise = Array2::from_elem(image.dim(), sigma);
        for few in [false, true] {
            let good = Array2::from_shape_fn(image.dim(), |(y, x)| !few || (y * 7 + x * 3) % 5 > 2);
            let expected = expected_electrons(image.view(), good.view(), noise.view());
            let mean = expected.iter().map(|e| f64::from(*e)).sum::<f64>() / image.len() as f64;
            // 60000 means of 16 pixels (or of 6 of them), each pixel in as many of them
            let error = f64::from(sigma) / (image.len() as f64 * if few { 0.4 } else { 1.0 }).sqrt();
            assert!(mean.abs() < 4.0 * error, "{mean}, error {error}");
            assert!(expected.iter().all(|e| *e >= LEAST * sigma * sigma));
        }
    }

    #[test]
    fn bands_of_rows_leave_no_seam() {
        let image = Array2::from_shape_fn((BAND + 60, 40), |(y, x)| ((y * 31 + x * 17) % 23) as f32 + 2.0);
        let good = Array2::from_shape_fn(image.dim(), |(y, x)| (y * 7 + x * 3) % 41 != 0);
        let noise = Array2::from_elem(image.dim(), 3.0);
        let whole = expected_electrons(image.view(), good.view(), noise.view());
        // the same rows in one band, those at its ends left out
        let part = ndarray::s![BAND - 40..BAND + 40, ..];
        let cut = expected_electrons(image.slice(part), good.slice(part), noise.slice(part));
        for y in HALF_ROWS..80 - HALF_ROWS {
            for x in 0..40 {
                let (a, b) = (whole[[BAND - 40 + y, x]], cut[[y, x]]);
                assert!((a - b).abs() < 1e-5 * b.max(1.0), "{y} {x}: {a} {b}");
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
        assert!(masked.iter().all(|v| v.is_finite()));
    }
    /// Columns and rows without any good pixel, next to each other and to good ones: every prediction is a number.
    #[test]
    fn where_all_pixels_are_bad_the_prediction_is_a_number() {
        let (image, noise) = (fibres(), Array2::from_elem(SHAPE, 3.0));
        let is_good = |(y, x): (usize, usize)| {
            !(20..34).contains(&x) && !(50..75).contains(&y) && (x + y) % 5 > 0 && (x < 50 || y % 2 == 0)
        };
        let good = Array2::from_shape_fn(SHAPE, is_good);
        let expected = expected_electrons(image.view(), good.view(), noise.view());
        assert!(
            expected.iter().all(|v| v.is_finite()),
            "{} are none",
            expected.iter().filter(|v| !v.is_finite()).count()
        );
    }
}
