//! Whether a fit is one that objects of the template's kind have.
//!
//! Vectors of any sign combine to much that no galaxy or star looks like. Where a template file says which
//! coefficients real spectra have (redrock's HDU ARCHETYPE_COEFF), a fit that is far from all of them, and
//! significantly so, is put behind the others.

use crate::model::Normal;
use numerics::banded::dot;

/// Coefficients further than this angle from those of every real spectrum are implausible: right fits of eBOSS galaxies
/// are within 0.8 rad, those of galaxies and stars at wrong high redshifts beyond 1.1.
const FARTHEST: f64 = 1.0;

/// They are significant if those of the nearest real spectrum raise chi2 by more than this: noise does not.
const SIGNIFICANT: f64 = 100.0;

/// Directions of the coefficients of real spectra.
#[derive(Debug, Default)]
pub struct Plausible {
    directions: Vec<Vec<f64>>,
}

impl Plausible {
    /// From rows of coefficients.
    pub fn new(coefficients: &ndarray::Array2<f64>) -> Self {
        let unit = |row: ndarray::ArrayView1<f64>| {
            let norm = row.iter().map(|c| c * c).sum::<f64>().sqrt();
            (norm > 0.0).then(|| row.iter().map(|c| c / norm).collect())
        };
        Self { directions: coefficients.rows().into_iter().filter_map(unit).collect() }
    }

    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
    }

    /// Whether the solution `coeff` of normal equations is far from every real spectrum.
    pub fn excludes(&self, normal: &Normal, coeff: &[f64]) -> bool {
        let nearest = self.directions.iter().map(|d| (dot(d, coeff), d)).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((along, direction)) = nearest else { return false };
        if along >= FARTHEST.cos() * dot(coeff, coeff).sqrt() {
            return false;
        }
        // chi2 of the best positive multiple of the direction, above that of the solution
        let norm = dot(direction, &normal.matrix.apply(direction));
        let scale = (dot(direction, &normal.rhs) / norm).max(0.0);
        let rest: Vec<f64> = coeff.iter().zip(direction).map(|(c, d)| c - scale * d).collect();
        dot(&rest, &normal.matrix.apply(&rest)) > SIGNIFICANT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_far_and_significant_fits_are_excluded() {
        let known = Plausible::new(&ndarray::array![[2.0, 0.0], [3.0, 1.0], [0.0, 0.0]]);
        let normal = |weight: f64, coeff: [f64; 2]| {
            let mut n = Normal::zeros(2, 1e4);
            (0..2).for_each(|a| n.matrix.add(a, a, weight));
            n.rhs = coeff.map(|c| weight * c).to_vec();
            n
        };
        let excluded = |weight, coeff| known.excludes(&normal(weight, coeff), &coeff);
        assert!(!excluded(100.0, [5.0, 1.0]));
        assert!(!excluded(100.0, [2.0, 3.0])); // 0.66 rad from (3, 1)
        assert!(excluded(100.0, [-1.0, 3.0]));
        assert!(excluded(100.0, [-2.0, 0.0]));
        // the best multiple of a direction leaves weight x 3.6^2 and less
        assert!(!excluded(1.0, [-1.0, 3.0]));
        assert!(!Plausible::default().excludes(&normal(100.0, [-1.0, 3.0]), &[-1.0, 3.0]));
    }
}
