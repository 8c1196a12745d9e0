//! Fibres in a cut across the dispersion: peaks, and which fibre of which bundle each of them is.
//!
//! Fibres come in bundles of 25 with an even pitch inside a bundle and a wider gap between bundles
//! (physics: 7.26 and 17.6 pixels). Peaks are given numbers by dynamic programming: the numbering that explains
//! the spacings best, missing fibres and false peaks having a price.

use numerics::robust;

/// Fibres of a bundle.
pub const BUNDLE: usize = 25;
/// Range of the pitch inside a bundle, pixels.
const PITCH: (f64, f64) = (6.3, 8.3);
/// Range of the gap between bundles, pixels; half-way to two and to three pitches.
const GAP: (f64, f64) = (15.9, 20.5);
/// Gap between bundles where none is seen, pixels.
const NOMINAL_GAP: f64 = 17.6;
/// Prices in units of chi2: a missing fibre, a false peak, the most that a spacing may cost.
const MISSING: f64 = 6.0;
const FALSE_PEAK: f64 = 12.0;
const WORST: f64 = 60.0;
/// One sigma of a spacing inside a bundle and across a gap, pixels.
const SIGMA: (f64, f64) = (0.25, 0.8);
/// Missing neighbours in a row that are tried, a whole bundle among them, and those that have a price.
const REACH: usize = 32;
const PRICED: usize = 8;

/// A fibre's place in the cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fiber {
    /// Column, pixels.
    pub x: f64,
    /// Whether its light was seen; else the column comes from its neighbours.
    pub seen: bool,
}

/// Columns of the peaks of a cut with errors `noise`, pixels, ascending. `good` marks the usable columns.
pub fn peaks(cut: &[f64], good: &[bool], noise: f64) -> Vec<f64> {
    let seen: Vec<f64> = cut.iter().zip(good).filter(|(_, g)| **g).map(|(c, _)| *c).collect();
    let (Some(low), Some(high)) = (robust::percentile(&seen, 5.0), robust::percentile(&seen, 97.0)) else {
        return Vec::new();
    };
    let threshold = low + (0.08 * (high - low)).max(7.0 * noise);
    let ivar: Vec<f64> = good.iter().map(|g| f64::from(u8::from(*g))).collect();
    let mut found: Vec<f64> = Vec::new();
    for i in 1..cut.len().saturating_sub(1) {
        if cut[i] > threshold && cut[i] >= cut[i - 1] && cut[i] > cut[i + 1] {
            let peak = crate::profile::fit(cut, &ivar, (i as f64, 1.1), 3).map_or(i as f64, |p| p.centre);
            match found.last_mut() {
                Some(last) if peak - *last < 3.0 => *last = if cut[*last as usize] > cut[i] { *last } else { peak },
                _ => found.push(peak),
            }
        }
    }
    found
}

/// Numbers the peaks and fills in the missing fibres; a multiple of 25 fibres, empty if there are none.
pub fn number(peaks: &[f64]) -> Vec<Fiber> {
    let spacings: Vec<f64> = peaks.windows(2).map(|w| w[1] - w[0]).collect();
    let within =
        |range: (f64, f64)| -> Vec<f64> { spacings.iter().copied().filter(|s| *s > range.0 && *s < range.1).collect() };
    let Some(pitch) = robust::median(&within(PITCH)) else { return Vec::new() };
    let gap = robust::median(&within(GAP)).unwrap_or(NOMINAL_GAP);
    let numbered = best_numbering(peaks, pitch, gap);
    let Some(&(_, last)) = numbered.last() else { return Vec::new() };
    let mut fibers = vec![None; (last / BUNDLE + 1) * BUNDLE];
    for (peak, index) in numbered {
        fibers[index] = Some(peaks[peak]);
    }
    fill_missing(&fibers, pitch, gap)
}

/// Expected distance of fibres `a < b`.
fn distance(a: usize, b: usize, pitch: f64, gap: f64) -> f64 {
    let gaps = (b / BUNDLE - a / BUNDLE) as f64;
    (b - a) as f64 * pitch + gaps * (gap - pitch)
}

/// Price of `n` missing fibres in a row: of more than [`PRICED`], a common cause is likely.
fn missing(n: usize) -> f64 {
    MISSING * n.min(PRICED) as f64
}

/// `(peak, fibre)` pairs of the cheapest numbering.
fn best_numbering(peaks: &[f64], pitch: f64, gap: f64) -> Vec<(usize, usize)> {
    let (n, most) = (peaks.len(), peaks.len() + 3 * BUNDLE);
    // cost[peak][fibre] of the best numbering that ends there, and the pair before it
    let mut cost = vec![vec![f64::INFINITY; most]; n];
    let mut before = vec![vec![None; most]; n];
    for p in 0..n {
        for (f, price) in cost[p].iter_mut().enumerate().take(BUNDLE + PRICED) {
            *price = MISSING * f as f64 + FALSE_PEAK * p as f64;
        }
        for q in p.saturating_sub(4)..p {
            for f in 1..most {
                for g in f.saturating_sub(REACH)..f {
                    if !cost[q][g].is_finite() {
                        continue;
                    }
                    let sigma = if f / BUNDLE > g / BUNDLE { SIGMA.1 } else { SIGMA.0 };
                    let pull = (peaks[p] - peaks[q] - distance(g, f, pitch, gap)) / sigma;
                    let price = (pull * pull).min(WORST) + missing(f - g - 1) + FALSE_PEAK * (p - q - 1) as f64;
                    if cost[q][g] + price < cost[p][f] {
                        (cost[p][f], before[p][f]) = (cost[q][g] + price, Some((q, g)));
                    }
                }
            }
        }
    }
    let end_price = |p: usize, f: usize| MISSING * (BUNDLE - 1 - f % BUNDLE) as f64 + FALSE_PEAK * (n - 1 - p) as f64;
    let ends = (0..n).flat_map(|p| (0..most).map(move |f| (p, f)));
    let mut at = ends.min_by(|a, b| {
        let total = |&(p, f): &(usize, usize)| cost[p][f] + end_price(p, f);
        total(a).total_cmp(&total(b))
    });
    let mut chain = Vec::new();
    while let Some((p, f)) = at {
        chain.push((p, f));
        at = before[p][f];
    }
    chain.reverse();
    chain
}

/// Places of the missing fibres from the nearest seen ones on either side.
fn fill_missing(fibers: &[Option<f64>], pitch: f64, gap: f64) -> Vec<Fiber> {
    let place = |i: usize| {
        let left = (0..i).rev().find_map(|j| fibers[j].map(|x| (i - j, x + distance(j, i, pitch, gap))));
        let right = (i + 1..fibers.len()).find_map(|j| fibers[j].map(|x| (j - i, x - distance(i, j, pitch, gap))));
        match (left, right) {
            (Some((m, a)), Some((n, b))) => (a * n as f64 + b * m as f64) / (m + n) as f64,
            (Some((_, a)), None) => a,
            (None, Some((_, b))) => b,
            (None, None) => 0.0,
        }
    };
    (0..fibers.len())
        .map(|i| fibers[i].map_or_else(|| Fiber { x: place(i), seen: false }, |x| Fiber { x, seen: true }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peaks of bundles with a jitter, less those in `missing`, plus those in `extra`.
    fn comb(nbundle: usize, missing: &[usize], extra: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let jitter = |i: usize| 0.1 * ((i * 7919 % 13) as f64 / 6.0 - 1.0);
        let all: Vec<f64> = (0..nbundle * BUNDLE)
            .map(|i| 40.0 + distance(0, i, 7.26, 17.6) + jitter(i) + ((i / BUNDLE) * 31 % 3) as f64 * 0.5)
            .collect();
        let mut seen: Vec<f64> = (0..all.len()).filter(|i| !missing.contains(i)).map(|i| all[i]).collect();
        seen.extend(extra);
        seen.sort_by(f64::total_cmp);
        (all, seen)
    }

    #[test]
    fn missing_fibres_and_false_peaks_do_not_shift_the_numbers() {
        for (missing, extra) in [
            (vec![], vec![]),
            (vec![0, 30, 31], vec![]),
            (vec![24, 25, 49], vec![]),
            (vec![5, 48, 49], vec![228.0, 100.3]),
            (vec![10, 11, 12, 60], vec![]),
            ((25..50).collect(), vec![]),
        ] {
            let (truth, seen) = comb(3, &missing, &extra);
            let fibers = number(&seen);
            assert_eq!(fibers.len(), 75, "missing {missing:?}");
            for i in 0..75 {
                assert_eq!(fibers[i].seen, !missing.contains(&i), "fibre {i}, missing {missing:?}");
                assert!((fibers[i].x - truth[i]).abs() < if fibers[i].seen { 1e-9 } else { 1.5 }, "fibre {i}");
            }
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(number(&[]).is_empty());
        assert!(number(&[100.0, 900.0]).is_empty());
        assert!(peaks(&[0.0; 100], &[true; 100], 1.0).is_empty());
    }
}
