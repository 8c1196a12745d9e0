//! Medians, robust widths, clipping, running medians.

/// 1.4826: the standard deviation of a Gaussian over its median absolute deviation.
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Median; the mean of the middle two for an even count; NaN values are left out; `None` if none is left.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut v: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    median_in_place(&mut v)
}

/// [`median`] that reorders its input, which must hold no NaN.
pub fn median_in_place(v: &mut [f64]) -> Option<f64> {
    if v.is_empty() {
        return None;
    }
    let mid = v.len() / 2;
    let odd = v.len() % 2 == 1;
    let (low, m, _) = v.select_nth_unstable_by(mid, f64::total_cmp);
    let upper = *m;
    if odd {
        return Some(upper);
    }
    let lower = low.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(0.5 * (lower + upper))
}

/// `1.4826 · median|x - median|`.
pub fn mad_sigma(values: &[f64]) -> Option<f64> {
    let m = median(values)?;
    let d: Vec<f64> = values.iter().map(|x| (x - m).abs()).collect();
    median(&d).map(|d| MAD_TO_SIGMA * d)
}

/// Percentile `p` of 0 to 100 with linear interpolation between order statistics.
pub fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let mut v: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    if v.is_empty() {
        return None;
    }
    v.sort_by(f64::total_cmp);
    let at = p / 100.0 * (v.len() - 1) as f64;
    let i = at.floor() as usize;
    let j = (i + 1).min(v.len() - 1);
    Some(v[i] + (at - i as f64) * (v[j] - v[i]))
}

/// Mean and standard deviation after `iterations` of clipping at `nsigma`, started from the median and the
/// MAD; the width is corrected for the clipped Gaussian tails (algorithms: clipped std correction).
pub fn clipped_mean(values: &[f64], nsigma: f64, iterations: usize) -> Option<(f64, f64)> {
    let mut level = median(values)?;
    let mut sigma = mad_sigma(values)?;
    let a = nsigma;
    let lost = 2.0 * a * (-0.5 * a * a).exp()
        / ((2.0 * std::f64::consts::PI).sqrt() * libm::erf(a / std::f64::consts::SQRT_2));
    let correction = (1.0 - lost).max(0.0).sqrt();
    for _ in 0..iterations {
        let kept: Vec<f64> = values
            .iter()
            .copied()
            .filter(|x| (x - level).abs() < nsigma * sigma || sigma == 0.0 && *x == level)
            .collect();
        if kept.is_empty() {
            break;
        }
        let n = kept.len() as f64;
        level = kept.iter().sum::<f64>() / n;
        sigma = (kept.iter().map(|x| (x - level).powi(2)).sum::<f64>() / n).sqrt() / correction;
    }
    Some((level, sigma))
}

/// Running median over a window of `width` values centred on each, the window cut at the ends.
/// Values where `good` is false are left out; where a window holds none the result is NaN.
pub fn running_median(values: &[f64], good: &[bool], width: usize) -> Vec<f64> {
    let half = width / 2;
    let n = values.len();
    // a sorted window: one insertion and one removal per step
    let mut window: Vec<f64> = Vec::with_capacity(width + 1);
    let insert = |window: &mut Vec<f64>, x: f64| {
        let at = window.partition_point(|v| *v < x);
        window.insert(at, x);
    };
    for i in (0..half.min(n)).filter(|&i| good[i]) {
        insert(&mut window, values[i]);
    }
    (0..n)
        .map(|i| {
            if i + half < n && good[i + half] {
                insert(&mut window, values[i + half]);
            }
            if i > half && good[i - half - 1] {
                let at = window.partition_point(|v| *v < values[i - half - 1]);
                window.remove(at);
            }
            let m = window.len();
            match m {
                0 => f64::NAN,
                _ if m % 2 == 1 => window[m / 2],
                _ => 0.5 * (window[m / 2 - 1] + window[m / 2]),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0, 5.0], 25.0), Some(2.0));
    }

    #[test]
    fn running_median_equals_the_direct_one() {
        let v: Vec<f64> = (0..50).map(|i| f64::from(i * 37 % 17)).collect();
        let good: Vec<bool> = (0..50).map(|i| i % 7 != 3).collect();
        let got = running_median(&v, &good, 9);
        for (i, m) in got.into_iter().enumerate() {
            let direct: Vec<f64> = (i.saturating_sub(4)..(i + 5).min(50)).filter(|&j| good[j]).map(|j| v[j]).collect();
            assert_eq!(Some(m), median(&direct), "at {i}");
        }
    }

    #[test]
    fn clipping_ignores_outliers_and_keeps_the_width() {
        let mut v: Vec<f64> = (1..2000).map(|i| quantile(f64::from(i) / 2000.0)).collect();
        v.extend([100.0; 20]);
        let (m, s) = clipped_mean(&v, 3.0, 5).unwrap();
        assert!(m.abs() < 0.01 && (s - 1.0).abs() < 0.02, "{m} {s}");
    }

    /// Standard normal quantile by bisection.
    fn quantile(p: f64) -> f64 {
        let (mut a, mut b) = (-10.0, 10.0);
        for _ in 0..80 {
            let m = 0.5 * (a + b);
            if 0.5 * (1.0 + libm::erf(m / std::f64::consts::SQRT_2)) < p { a = m } else { b = m }
        }
        a
    }
}
