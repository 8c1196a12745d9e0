//! A curve per fibre, all alike: series in `u` whose coefficients vary smoothly along the slit, plus a low-order
//! series of each fibre's own. Fibres without data follow the others.

use ndarray::Array2;
use numerics::{NumericsError, SymmetricBand, legendre, robust};

/// A measured point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Row of the fibre.
    pub fiber: usize,
    /// Abscissa in [-1, 1].
    pub u: f64,
    /// Value.
    pub value: f64,
    /// Inverse variance.
    pub weight: f64,
}

/// Sizes of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Fibres.
    pub nfiber: usize,
    /// Terms of the Legendre series in `u`.
    pub series: usize,
    /// Terms along the slit of each of them.
    pub slit: usize,
    /// Leading terms in `u` that each fibre adds of its own.
    pub own: usize,
}

/// Rounds of clipping and its threshold in robust sigmas.
const ROUNDS: usize = 5;
const CLIP: f64 = 5.0;

/// Legendre coefficients `[nfiber, series]` of every fibre, and the samples that were kept.
///
/// # Errors
/// [`NumericsError`] if the samples do not determine the common part.
pub fn fit(samples: &[Sample], terms: Terms) -> Result<(Array2<f64>, Vec<bool>), NumericsError> {
    let mut kept: Vec<bool> = samples.iter().map(|s| s.weight > 0.0).collect();
    let mut coeff = Array2::zeros((terms.nfiber, terms.series));
    for _ in 0..ROUNDS {
        coeff = common(samples, &kept, terms)?;
        add_own(samples, &kept, terms, &mut coeff);
        let pull = |s: &Sample| (s.value - value(&coeff, s.fiber, s.u)) * s.weight.sqrt();
        let pulls: Vec<f64> = samples.iter().zip(&kept).filter(|(_, k)| **k).map(|(s, _)| pull(s)).collect();
        let width = robust::mad_sigma(&pulls).unwrap_or(0.0).max(1e-9);
        let now: Vec<bool> = samples.iter().map(|s| s.weight > 0.0 && pull(s).abs() < CLIP * width).collect();
        if now == kept {
            break;
        }
        kept = now;
    }
    Ok((coeff, kept))
}

/// Value of a fibre's curve.
pub fn value(coeff: &Array2<f64>, fiber: usize, u: f64) -> f64 {
    coeff.row(fiber).iter().zip(legendre::polynomials(u, coeff.ncols())).map(|(c, p)| c * p).sum()
}

fn common(samples: &[Sample], kept: &[bool], terms: Terms) -> Result<Array2<f64>, NumericsError> {
    let n = terms.series * terms.slit;
    let along = |fiber: usize| {
        let f = if terms.nfiber > 1 { legendre::reduced(fiber as f64, 0.0, terms.nfiber as f64 - 1.0) } else { 0.0 };
        legendre::polynomials(f, terms.slit)
    };
    let mut normal = SymmetricBand::zeros(n, n);
    let mut rhs = vec![0.0; n];
    let mut row = vec![0.0; n];
    for sample in samples.iter().zip(kept).filter(|(_, k)| **k).map(|(s, _)| s) {
        let (slit, series) = (along(sample.fiber), legendre::polynomials(sample.u, terms.series));
        for (r, (s, p)) in row.iter_mut().zip(slit.iter().flat_map(|s| series.iter().map(move |p| (s, p)))) {
            *r = s * p;
        }
        for i in 0..n {
            rhs[i] += sample.weight * row[i] * sample.value;
            let weighted = sample.weight * row[i];
            let start = n - 1 - i;
            normal.row_mut(i)[start..].iter_mut().zip(&row[..=i]).for_each(|(a, r)| *a += weighted * r);
        }
    }
    let solution = normal.cholesky()?.solve(&rhs);
    Ok(Array2::from_shape_fn((terms.nfiber, terms.series), |(f, k)| {
        along(f).iter().enumerate().map(|(j, s)| s * solution[j * terms.series + k]).sum()
    }))
}

/// Adds to each fibre with enough samples its own correction.
fn add_own(samples: &[Sample], kept: &[bool], terms: Terms, coeff: &mut Array2<f64>) {
    let mut by_fiber: Vec<Vec<&Sample>> = vec![Vec::new(); terms.nfiber];
    for (sample, _) in samples.iter().zip(kept).filter(|(_, k)| **k) {
        by_fiber[sample.fiber].push(sample);
    }
    for (fiber, own) in by_fiber.iter().enumerate().filter(|(_, own)| own.len() > 3 * terms.own) {
        let u: Vec<f64> = own.iter().map(|s| s.u).collect();
        let residual: Vec<f64> = own.iter().map(|s| s.value - value(coeff, fiber, s.u)).collect();
        let weight: Vec<f64> = own.iter().map(|s| s.weight).collect();
        if let Ok(correction) = legendre::fit(&u, &residual, &weight, terms.own) {
            correction.iter().enumerate().for_each(|(k, c)| coeff[(fiber, k)] += c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_fibre_follows_its_neighbours_and_outliers_are_dropped() {
        let truth = |f: usize, u: f64| 100.0 * u + 0.02 * (f as f64 - 12.0).powi(2) * (1.0 + 0.1 * u) + 3.0 * u.powi(3);
        let mut samples = Vec::new();
        for fiber in (0..25).filter(|f| *f != 7) {
            for i in 0..40 {
                let u = f64::from(i) / 19.5 - 1.0;
                let outlier = if (fiber + i as usize).is_multiple_of(17) { 5.0 } else { 0.0 };
                let own = 0.05 * f64::from(u8::from(fiber == 9));
                samples.push(Sample { fiber, u, value: truth(fiber, u) + own + outlier, weight: 1e4 });
            }
        }
        let (coeff, kept) = fit(&samples, Terms { nfiber: 25, series: 5, slit: 3, own: 2 }).unwrap();
        assert!((value(&coeff, 7, 0.3) - truth(7, 0.3)).abs() < 0.02);
        assert!((value(&coeff, 9, -0.5) - truth(9, -0.5) - 0.05).abs() < 0.02);
        assert!(kept.iter().filter(|k| !**k).count() >= 24 * 40 / 20);
    }
}
