//! The bias level and the read noise of an amplifier from its overscan columns.

use ndarray::ArrayView2;
use numerics::robust;

/// Clipping of overscan values, sigma, and its iterations.
const NSIGMA: f64 = 5.0;
const ITERATIONS: usize = 3;
/// Rows at each end that the step of the level is not looked for in: the read-out settles there.
const SETTLING_ROWS: usize = 50;
/// Rows of the median filter before the step is measured.
const STEP_WINDOW: usize = 7;
/// Step in ADU from which on each row gets its own level.
const ROW_STEP: f64 = 2.0;

/// What the overscan of an amplifier says, all in ADU.
#[derive(Debug, Clone, PartialEq)]
pub struct Overscan {
    /// Bias level of each row.
    pub levels: Vec<f64>,
    /// Their mean.
    pub level: f64,
    /// Read noise.
    pub noise: f64,
    /// Range of the level over the rows, OSTEP.
    pub step: f64,
    /// Whether the rows have levels of their own (`PER_ROW`) or share one (`AVERAGE`).
    pub per_row: bool,
}

/// Measures the overscan `[rows, columns]` in ADU.
pub fn measure(overscan: ArrayView2<f64>) -> Overscan {
    let all: Vec<f64> = overscan.iter().copied().collect();
    let (level, noise) = robust::clipped_mean(&all, NSIGMA, ITERATIONS).unwrap_or((0.0, 0.0));
    let rows: Vec<f64> = overscan
        .rows()
        .into_iter()
        .map(|row| robust::clipped_mean(&row.to_vec(), NSIGMA, ITERATIONS).map_or(level, |(mean, _)| mean))
        .collect();
    let step = step(&rows);
    if step < ROW_STEP {
        return Overscan { levels: vec![level; rows.len()], level, noise, step, per_row: false };
    }
    let residuals: Vec<f64> = overscan
        .rows()
        .into_iter()
        .zip(&rows)
        .flat_map(|(row, l)| row.iter().map(|v| v - l).collect::<Vec<_>>())
        .collect();
    // a row's own mean takes part of its noise away
    let columns = overscan.ncols() as f64;
    let lost = (1.0 - 1.0 / columns.max(2.0)).sqrt();
    let noise = robust::clipped_mean(&residuals, NSIGMA, ITERATIONS).map_or(noise, |(_, sigma)| sigma / lost);
    Overscan { levels: rows, level, noise, step, per_row: true }
}

/// Range of the median-filtered levels, the settling rows left out.
fn step(rows: &[f64]) -> f64 {
    let good = vec![true; rows.len()];
    let smooth = robust::running_median(rows, &good, STEP_WINDOW);
    let inner =
        if rows.len() > 3 * SETTLING_ROWS { &smooth[SETTLING_ROWS..rows.len() - SETTLING_ROWS] } else { &smooth[..] };
    let low = inner.iter().copied().fold(f64::INFINITY, f64::min);
    let high = inner.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high >= low { high - low } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Rows of pseudo-Gaussian noise (sum of 12 uniforms) of this width about a level per row.
    fn noisy(level: impl Fn(usize) -> f64, sigma: f64) -> Array2<f64> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        Array2::from_shape_fn((400, 64), |(y, _)| level(y) + sigma * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0))
    }

    #[test]
    fn level_and_noise_are_recovered_despite_hits() {
        let mut data = noisy(|_| 1200.0, 3.0);
        data[(7, 9)] = 60_000.0;
        let o = measure(data.view());
        // 25,600 values: the mean is known to 3/160, the width to 3/226
        assert!((o.level - 1200.0).abs() < 4.0 * 3.0 / 160.0, "{}", o.level);
        assert!((o.noise - 3.0).abs() < 4.0 * 3.0 / 226.0, "{}", o.noise);
        assert!(!o.per_row);
    }

    #[test]
    fn a_drifting_level_is_followed_row_by_row() {
        let o = measure(noisy(|y| 1000.0 + if y < 200 { 0.0 } else { 6.0 }, 3.0).view());
        assert!(o.per_row && (o.step - 6.0).abs() < 1.0);
        assert!((o.levels[100] - 1000.0).abs() < 2.0 && (o.levels[300] - 1006.0).abs() < 2.0);
        assert!((o.noise - 3.0).abs() < 0.06, "{}", o.noise);
    }
}
