//! Minima of chi2 on a grid of redshifts.

use datamodel::mask::zwarn::BAD_MINFIT;
use numerics::LIGHT_KMS;

/// The parabola through three points, as `chi2 = chi2_0 + ((z - z_0) / zerr)^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parabola {
    /// Place of the extremum.
    pub z: f64,
    /// Its width: the step that raises chi2 by 1.
    pub zerr: f64,
    /// chi2 there.
    pub chi2: f64,
    /// [`BAD_MINFIT`] where it is no minimum between the points or its chi2 is not positive.
    pub zwarn: i64,
}

/// Velocity between two redshifts in km/s, seen from `reference`.
pub fn velocity(z: f64, reference: f64) -> f64 {
    LIGHT_KMS * (z - reference) / (1.0 + reference)
}

/// Indices of local minima, ends included, by rising value (equal ones by index). Values that are not finite
/// are no minima; neighbours that are not are walls.
pub fn local_minima(y: &[f64]) -> Vec<usize> {
    let below = |i: usize, other: Option<usize>| other.is_none_or(|j| !y[j].is_finite() || y[i] <= y[j]);
    let mut minima: Vec<usize> = (0..y.len())
        .filter(|&i| y[i].is_finite() && below(i, i.checked_sub(1)) && below(i, (i + 1 < y.len()).then_some(i + 1)))
        .collect();
    minima.sort_by(|&a, &b| y[a].total_cmp(&y[b]));
    minima
}

/// The local minima, and the points where the curve is bent up so that a small change would make them minima: a parabola
/// through one and its neighbours is lowest between these. In the order of [`local_minima`].
pub fn near_minima(y: &[f64]) -> Vec<usize> {
    let mut minima = local_minima(y);
    for (i, w) in y.windows(3).enumerate().filter(|(_, w)| w.iter().all(|y| y.is_finite())) {
        let (slope, bend) = (0.5 * (w[2] - w[0]), w[2] - 2.0 * w[1] + w[0]);
        if slope.abs() > 0.5 * bend && slope.abs() <= bend {
            minima.push(i + 1);
        }
    }
    minima.sort_by(|&a, &b| y[a].total_cmp(&y[b]));
    minima
}

/// The parabola through three points; `None` if they lie on a line.
pub fn parabola(z: [f64; 3], chi2: [f64; 3]) -> Option<Parabola> {
    let (h0, h2) = (z[0] - z[1], z[2] - z[1]);
    let (d0, d2) = (chi2[0] - chi2[1], chi2[2] - chi2[1]);
    let a = (d0 / h0 - d2 / h2) / (h0 - h2);
    let b = d0 / h0 - a * h0;
    if a == 0.0 || !a.is_finite() {
        return None;
    }
    let shift = -b / (2.0 * a);
    let (z0, chi2_0) = (z[1] + shift, chi2[1] - b * b / (4.0 * a));
    let inside = z0 > z[0] && z0 < z[2];
    let good = inside && a > 0.0 && chi2_0 > 0.0;
    Some(Parabola { z: z0, zerr: 1.0 / a.abs().sqrt(), chi2: chi2_0, zwarn: if good { 0 } else { BAD_MINFIT } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_include_ends_and_plateaus_and_are_sorted() {
        assert_eq!(local_minima(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), [0, 1, 2, 4, 5]);
        assert_eq!(local_minima(&[3.0, 4.0, 2.0, 5.0, 1.0]), [4, 2, 0]);
        assert_eq!(local_minima(&[f64::INFINITY, 4.0, 5.0, f64::INFINITY]), [1]);
    }

    #[test]
    fn a_shoulder_is_nearly_a_minimum_and_a_slope_is_not() {
        let y = [9.0, 8.0, 7.0, 4.6, 4.5, 2.0, 1.0, 3.0];
        assert_eq!(local_minima(&y), [6]);
        // the parabola through 7.0, 4.6 and 4.5 is lowest half a step to the right of the second
        assert_eq!(near_minima(&y), [6, 3]);
        assert_eq!(near_minima(&[3.0, f64::NAN, 1.0, 2.0]), [2, 0]);
    }

    #[test]
    fn a_parabola_is_recovered() {
        let f = |z: f64| 12.0 + ((z - 0.53) / 0.002).powi(2);
        let z = [0.5295, 0.5302, 0.5309];
        let p = parabola(z, z.map(f)).unwrap();
        assert!((p.z - 0.53).abs() < 1e-12 && (p.zerr - 0.002).abs() < 1e-12 && (p.chi2 - 12.0).abs() < 1e-9);
        assert_eq!(p.zwarn, 0);
        assert_eq!(parabola(z.map(|z| z + 0.01), z.map(|z| f(z + 0.01))).unwrap().zwarn, BAD_MINFIT);
        assert_eq!(parabola(z, z.map(|z| 40.0 - f(z))).unwrap().zwarn, BAD_MINFIT);
        assert_eq!(parabola([0.0, 1.0, 2.0], [5.0, 6.0, 7.0]), None);
    }
}
