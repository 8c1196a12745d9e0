//! Which lamp line each peak of one fibre is, from the camera's nominal range and dispersion alone.
//!
//! Every pair of a peak and a line votes for the zero point that would make them agree, under each of a grid of
//! dispersions, curvatures and third-order terms; the best cells are refined by matching and fitting in turns.

use crate::profile::Peak;
use datamodel::Band;
use numerics::legendre;
use psf::lamps::LampLine;

/// Nominal wavelengths of a camera over the height of its CCD (physics: trace and dispersion).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nominal {
    /// Wavelength of the middle row, Angstrom.
    pub centre: f64,
    /// Dispersion, Angstrom per pixel.
    pub dispersion: f64,
}

impl Nominal {
    /// The values of an arm.
    pub fn of(band: Band) -> Self {
        match band {
            Band::B => Self { centre: 4810.0, dispersion: 0.589 },
            Band::R => Self { centre: 6735.0, dispersion: 0.527 },
            Band::Z => Self { centre: 8715.0, dispersion: 0.599 },
        }
    }
}

/// A peak and the line it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Index of the peak.
    pub peak: usize,
    /// Index of the line.
    pub line: usize,
}

/// Wavelengths along a fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Legendre coefficients of the wavelength over `u = 2y/(ny-1) - 1`, Angstrom.
    pub coeff: Vec<f64>,
    /// The identified peaks.
    pub matches: Vec<Match>,
    /// Scatter of the identified peaks, Angstrom.
    pub rms: f64,
}

/// Range of the zero point on either side of the nominal one, Angstrom; range of the dispersion, a fraction.
const OFFSET: f64 = 200.0;
const STRETCH: f64 = 0.2;
/// Steps of the second Legendre coefficient (of the dispersion too, at the ends of the CCD) and its largest
/// value; the values of the third; Angstrom.
const STEP: f64 = 2.0;
const CURVATURE: f64 = 60.0;
const THIRD: [f64; 5] = [-8.0, -4.0, 0.0, 4.0, 8.0];
/// Peaks that vote (the brightest), cells that are refined, peaks below which nothing can be told.
const VOTERS: usize = 40;
const CANDIDATES: usize = 40;
/// Tolerances in Angstrom and number of terms of the rounds of a refinement.
const ROUNDS: [(f64, usize); 8] = [(5.0, 3), (4.0, 4), (3.0, 4), (2.0, 4), (1.5, 4), (1.0, 5), (0.7, 5), (0.5, 5)];

/// Abscissa of a row.
pub fn reduced_row(y: f64, ny: usize) -> f64 {
    legendre::reduced(y, 0.0, ny as f64 - 1.0)
}

/// The best solution for the peaks of a fibre on a CCD of `ny` rows: the one that explains most peaks.
pub fn identify(peaks: &[Peak], lines: &[LampLine], nominal: Nominal, ny: usize) -> Option<Solution> {
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|a, b| peaks[*b].flux.total_cmp(&peaks[*a].flux));
    order.truncate(VOTERS);
    let u: Vec<f64> = order.iter().map(|p| reduced_row(peaks[*p].centre, ny)).collect();
    let waves: Vec<f64> = lines.iter().map(|l| l.wave).collect();
    let refined = candidates(&u, &waves, nominal, ny).into_iter().filter_map(|c| refine(c, peaks, &waves, ny, &ROUNDS));
    refined.max_by(|a, b| (a.matches.len() as f64 - 4.0 * a.rms).total_cmp(&(b.matches.len() as f64 - 4.0 * b.rms)))
}

/// The cells with most votes: Legendre coefficients of the wavelength.
fn candidates(u: &[f64], waves: &[f64], nominal: Nominal, ny: usize) -> Vec<Vec<f64>> {
    let half = nominal.dispersion * ny as f64 / 2.0;
    let bins = (2.0 * OFFSET) as usize;
    let mut votes = vec![0u16; bins];
    let mut best: Vec<(u16, Vec<f64>)> = Vec::new();
    let steps = |range: f64| -> Vec<f64> {
        let n = (range / STEP).ceil() as i64;
        (-n..=n).map(|i| i as f64 * STEP).collect()
    };
    for first in steps(half * STRETCH) {
        let mut top: (u16, Vec<f64>) = (0, Vec::new());
        for second in steps(CURVATURE) {
            for third in THIRD {
                votes.fill(0);
                for &u in u {
                    let p = [(3.0 * u * u - 1.0) / 2.0, (5.0 * u * u - 3.0) * u / 2.0];
                    let zero = nominal.centre + (half + first) * u + second * p[0] + third * p[1] - OFFSET;
                    let begin = waves.partition_point(|w| *w < zero);
                    for w in waves[begin..].iter().take_while(|w| **w < zero + 2.0 * OFFSET) {
                        votes[((w - zero) as usize).min(bins - 1)] += 1;
                    }
                }
                for (i, v) in votes.windows(3).enumerate() {
                    let sum = v[0] + v[1] + v[2];
                    if sum > top.0 {
                        let zero = nominal.centre - OFFSET + i as f64 + 1.5;
                        top = (sum, vec![zero, half + first, second, third]);
                    }
                }
            }
        }
        best.push(top);
    }
    best.sort_by_key(|b| std::cmp::Reverse(b.0));
    best.into_iter().take(CANDIDATES).map(|(_, coeff)| coeff).filter(|c| !c.is_empty()).collect()
}

/// Matches and fits in turns; each round has its tolerance in Angstrom and number of terms.
pub fn refine(
    mut coeff: Vec<f64>,
    peaks: &[Peak],
    waves: &[f64],
    ny: usize,
    rounds: &[(f64, usize)],
) -> Option<Solution> {
    let mut matches = Vec::new();
    for &(tolerance, terms) in rounds {
        matches = nearest(&coeff, peaks, waves, tolerance, ny);
        let terms = terms.min(matches.len().saturating_sub(2));
        if terms < 3 {
            return None;
        }
        coeff = fit(&matches, peaks, waves, terms, ny)?;
    }
    let residual = |m: &Match| legendre::evaluate(&coeff, reduced_row(peaks[m.peak].centre, ny)) - waves[m.line];
    let rms = (matches.iter().map(|m| residual(m).powi(2)).sum::<f64>() / matches.len() as f64).sqrt();
    // wavelength must grow along the CCD
    let ends: Vec<f64> = (0..=20).map(|i| legendre::evaluate(&coeff, f64::from(i) / 10.0 - 1.0)).collect();
    ends.windows(2).all(|w| w[1] > w[0]).then_some(Solution { coeff, matches, rms })
}

fn fit(matches: &[Match], peaks: &[Peak], waves: &[f64], terms: usize, ny: usize) -> Option<Vec<f64>> {
    let u: Vec<f64> = matches.iter().map(|m| reduced_row(peaks[m.peak].centre, ny)).collect();
    let y: Vec<f64> = matches.iter().map(|m| waves[m.line]).collect();
    legendre::fit(&u, &y, &vec![1.0; u.len()], terms).ok()
}

/// Pairs of peaks and lines that are nearest to each other, within a tolerance in Angstrom.
fn nearest(coeff: &[f64], peaks: &[Peak], waves: &[f64], tolerance: f64, ny: usize) -> Vec<Match> {
    let at: Vec<f64> = peaks.iter().map(|p| legendre::evaluate(coeff, reduced_row(p.centre, ny))).collect();
    pairs(&at, waves, tolerance)
}

/// Pairs `(index in a, index in b)` of two lists that are nearest to each other; `b` is ascending.
pub fn pairs(a: &[f64], b: &[f64], tolerance: f64) -> Vec<Match> {
    let mut owner: Vec<Option<usize>> = vec![None; b.len()];
    for (i, x) in a.iter().enumerate() {
        let after = b.partition_point(|v| v < x);
        let around = [after.checked_sub(1), Some(after).filter(|j| *j < b.len())];
        let Some(j) = around.into_iter().flatten().min_by(|p, q| (b[*p] - x).abs().total_cmp(&(b[*q] - x).abs()))
        else {
            continue;
        };
        let closer = owner[j].is_none_or(|o| (a[o] - b[j]).abs() > (x - b[j]).abs());
        if (b[j] - x).abs() < tolerance && closer {
            owner[j] = Some(i);
        }
    }
    owner.iter().enumerate().filter_map(|(line, peak)| peak.map(|peak| Match { peak, line })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peaks of the lines that `keep` wants, at the rows where a cubic dispersion puts them, plus false ones.
    fn peaks(
        lines: &[LampLine],
        truth: &[f64],
        ny: usize,
        keep: impl Fn(&LampLine) -> bool,
        fakes: usize,
    ) -> Vec<Peak> {
        let wave = |y: f64| legendre::evaluate(truth, reduced_row(y, ny));
        let mut rows: Vec<(f64, f64)> = Vec::new();
        for line in lines.iter().filter(|l| keep(l) && l.wave > wave(0.0) && l.wave < wave(ny as f64 - 1.0)) {
            let (mut a, mut b) = (0.0, ny as f64 - 1.0);
            for _ in 0..50 {
                let m = 0.5 * (a + b);
                if wave(m) < line.wave { a = m } else { b = m }
            }
            rows.push((a, line.intensity));
        }
        rows.extend((0..fakes).map(|i| ((i * 1237 + 411) as f64 % ny as f64, 5000.0)));
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows.iter().map(|(y, flux)| Peak { centre: *y, error: 0.02, sigma: 1.1, flux: *flux }).collect()
    }

    #[test]
    fn the_three_cameras_are_identified_without_a_first_guess() {
        let lines = psf::lamps::builtin();
        let cases = [
            (Band::B, vec![4790.0, 1214.0, -25.5, -3.0], "none"),
            (Band::R, vec![6715.0, 1096.0, -29.7, -3.7], "none"),
            (Band::Z, vec![8690.0, 1247.0, -43.0, 0.5], "none"),
            // 15 % off in dispersion, 90 A off in zero point
            (Band::R, vec![6820.0, 1230.0, -20.0, 2.0], "none"),
            // a lamp that did not light
            (Band::R, vec![6715.0, 1096.0, -29.7, -3.7], "ArI"),
            (Band::B, vec![4790.0, 1214.0, -25.5, -3.0], "HgI"),
            (Band::Z, vec![8690.0, 1247.0, -43.0, 0.5], "NeI"),
        ];
        for (band, truth, dark) in cases {
            let seen = peaks(&lines, &truth, 4128, |l| l.ion != dark && l.intensity > 290.0, 4);
            let solution = identify(&seen, &lines, Nominal::of(band), 4128).unwrap();
            let worst = (0..=40)
                .map(|i| f64::from(i) / 20.0 - 1.0)
                .map(|u| (legendre::evaluate(&solution.coeff, u) - legendre::evaluate(&truth, u)).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1.0, "{band} without {dark}: {worst} A, {} of {}", solution.matches.len(), seen.len());
        }
    }

    #[test]
    fn random_peaks_are_not_identified_well() {
        let lines = psf::lamps::builtin();
        let fake = peaks(&[], &[6715.0, 1096.0], 4128, |_| true, 40);
        let matched = identify(&fake, &lines, Nominal::of(Band::R), 4128).map_or(0, |s| s.matches.len());
        assert!(matched < 22, "{matched} of 40");
    }
}
