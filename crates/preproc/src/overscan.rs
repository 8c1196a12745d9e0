//! The bias level of an amplifier and its noise, as the columns and rows read without light show them.

use crate::amplifier::Amplifier;
use ndarray::{Array2, ArrayView1, Axis};
use numerics::robust;

/// Clipping of the overscan, sigma and rounds.
const CLIP_SIGMA: f64 = 5.0;
const CLIP_ROUNDS: usize = 3;
/// The overscan of the rows is smoothed by a median over this many when its range is judged, and rows at both
/// ends are left out.
const STEP_SMOOTHING: usize = 7;
const STEP_MARGIN: usize = 50;
/// Range of the overscan level over the rows, in ADU, from which on each row gets a level of its own, and from
/// which on the amplifier is flagged.
const STEP_PER_ROW: f64 = 2.0;
const STEP_BAD: f64 = 5.0;
/// Ratio of measured to expected read noise outside which it is reported.
const NOISE_RATIO: (f64, f64) = (0.9, 1.2);
/// Columns to each side that the parallel overscan is smoothed over.
const SMOOTH_COLUMNS: usize = 15;

/// How the level of the overscan columns is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Columns {
    /// By row where it changes by 2 ADU or more over the rows, else one level.
    #[default]
    Auto,
    /// One level for the amplifier.
    Constant,
    /// A level for each row.
    ByRow,
}

/// How the overscan rows are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Rows {
    /// Not at all.
    #[default]
    None,
    /// One level for the amplifier.
    Constant,
    /// A level for each column, smoothed by a local parabola over 31 columns (Savitzky and Golay 1964).
    Smooth,
}

/// Bias level and noise that an overscan shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Overscan {
    /// Mean level in ADU.
    pub level: f64,
    /// Noise in ADU.
    pub noise: f64,
    /// Range of the level over the rows in ADU.
    pub step: f64,
    /// Level of each row, where the level is not constant.
    pub rows: Option<Vec<f64>>,
}

impl Overscan {
    /// Measures overscan columns, `[rows, columns]` in ADU. `None` if they hold no finite value.
    pub fn measure(adu: &Array2<f64>, columns: Columns) -> Option<Self> {
        let all: Vec<f64> = adu.iter().copied().filter(|v| v.is_finite()).collect();
        let (level, noise) = robust::clipped_mean(&all, CLIP_SIGMA, CLIP_ROUNDS)?;
        let rows: Vec<f64> = adu.axis_iter(Axis(0)).map(|row| clipped(row).unwrap_or(level)).collect();
        let step = range_of(&rows);
        let by_row = match columns {
            Columns::Auto => step >= STEP_PER_ROW,
            Columns::Constant => false,
            Columns::ByRow => true,
        };
        if !by_row {
            return Some(Self { level, noise, step, rows: None });
        }
        let flat: Vec<f64> = adu
            .axis_iter(Axis(0))
            .zip(&rows)
            .flat_map(|(row, level)| row.iter().map(|v| v - level).filter(|v| v.is_finite()).collect::<Vec<_>>())
            .collect();
        // a level of each row's own takes one degree of freedom from its columns
        let n = adu.ncols().max(2) as f64;
        let noise =
            robust::clipped_mean(&flat, CLIP_SIGMA, CLIP_ROUNDS).map_or(noise, |m| m.1 * (n / (n - 1.0)).sqrt());
        Some(Self { level, noise, step, rows: Some(rows) })
    }

    /// Level of a row of the amplifier, ADU.
    pub fn level_of(&self, row: usize) -> f64 {
        self.rows.as_ref().and_then(|rows| rows.get(row).copied()).unwrap_or(self.level)
    }

    /// Whether the level jumps so much that the amplifier is not to be trusted.
    pub fn jumps(&self) -> bool {
        self.step > STEP_BAD
    }

    /// Reports a read noise (electron) that is not the expected one.
    pub fn report(&self, amplifier: &Amplifier, electrons: f64) {
        match amplifier.expected_noise {
            None => log::warn!(
                "keyword RDNOISE{} is missing; the overscan shows {electrons:.2} electrons",
                amplifier.suffix
            ),
            Some(expected) if electrons < NOISE_RATIO.0 * expected || electrons > NOISE_RATIO.1 * expected => {
                log::warn!(
                    "amplifier {}: read noise {electrons:.2} electrons, RDNOISE{0} says {expected:.2}",
                    amplifier.suffix
                );
            }
            Some(_) => {}
        }
    }
}

/// Level of each column of the overscan rows `[rows, columns]`, ADU above `level`.
pub fn parallel(adu: &Array2<f64>, level: f64, rows: Rows) -> Vec<f64> {
    let above: Vec<f64> = adu.axis_iter(Axis(1)).map(|c| clipped(c).map_or(0.0, |m| m - level)).collect();
    match rows {
        Rows::None => vec![0.0; above.len()],
        Rows::Constant => {
            let mean = robust::clipped_mean(&above, CLIP_SIGMA, CLIP_ROUNDS).map_or(0.0, |m| m.0);
            vec![mean; above.len()]
        }
        Rows::Smooth => (0..above.len()).map(|x| local_parabola(&above, x)).collect(),
    }
}

/// Value at `x` of the parabola fitted to the columns around, as many to the left as to the right.
fn local_parabola(values: &[f64], x: usize) -> f64 {
    let half = SMOOTH_COLUMNS.min(x).min(values.len() - 1 - x);
    // with sums s0, s2, s4 of the powers of the distance, the weights are (s4 - s2 k^2) / (s0 s4 - s2^2)
    let distances = || (0..=2 * half).map(|i| (i as f64 - half as f64).powi(2));
    let (s0, s2, s4) = distances().fold((0.0, 0.0, 0.0), |(a, b, c), k2| (a + 1.0, b + k2, c + k2 * k2));
    let determinant = s0 * s4 - s2 * s2;
    if determinant <= 0.0 {
        return values[x];
    }
    distances().zip(&values[x - half..]).map(|(k2, v)| v * (s4 - s2 * k2) / determinant).sum()
}

fn clipped(values: ArrayView1<f64>) -> Option<f64> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    robust::clipped_mean(&finite, CLIP_SIGMA, CLIP_ROUNDS).map(|m| m.0)
}

/// Range of the smoothed levels, ends left out.
fn range_of(rows: &[f64]) -> f64 {
    let smooth = robust::running_median(rows, &vec![true; rows.len()], STEP_SMOOTHING);
    let margin = STEP_MARGIN.min(rows.len() / 4);
    let inner = &smooth[margin..smooth.len() - margin];
    let (min, max) = inner.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    if max >= min { max - min } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_parabola_keeps_a_parabola_and_averages_noise() {
        let parabola: Vec<f64> = (0..80).map(|x| 3.0 - 0.2 * f64::from(x) + 0.01 * f64::from(x * x)).collect();
        for x in 0..80 {
            assert!((local_parabola(&parabola, x) - parabola[x]).abs() < 1e-10, "{x}");
        }
        let single: Vec<f64> = (0..80).map(|x| f64::from(u8::from(x == 40))).collect();
        // the middle weight of 31 points: 3 (3 m^2 + 3 m - 1) / ((2 m + 3) (4 m^2 - 1)), m = 15
        assert!((local_parabola(&single, 40) - 3.0 * 719.0 / (33.0 * 899.0)).abs() < 1e-12);
    }
}
