//! The banded matrix whose inverse has given entries in the band: a covariance known near the diagonal,
//! completed with maximum entropy.
//!
//! Of all positive-definite matrices that agree with `C` within `b` diagonals, the one of largest determinant
//! is the one whose inverse `S` has half bandwidth `b` (Dempster 1972, Biometrics 28, 157; Grone et al. 1984).
//! `S = L Lᵀ` with column `i` of `L` from the block `C[i..=i+b, i..=i+b]` alone: it is the regression of
//! unknown `i` on the `b` that follow. It inverts the recurrence of [`crate::BandedCholesky::inverse_band`].

use crate::{NumericsError, SymmetricBand};

/// What the band of a covariance says of its inverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The matrix `S`, banded like `C`, with `S⁻¹ = C` within the band.
    pub inverse: SymmetricBand,
    /// Largest partial correlation (magnitude) of unknowns `b` apart, given those between them: the completion
    /// takes it to be 0 at larger distances, so this small says that the band was wide enough.
    pub edge: f64,
}

/// Completes the covariance `c` beyond its band.
///
/// # Errors
/// [`NumericsError::NotPositiveDefinite`] if a block of `c` is not positive definite; `row` is its first row.
pub fn complete(c: &SymmetricBand) -> Result<Completion, NumericsError> {
    let (n, b) = (c.order(), c.half_bandwidth());
    let mut inverse = SymmetricBand::zeros(n, b);
    let mut edge = 0.0f64;
    for i in 0..n {
        let size = (n - i).min(b + 1);
        let (column, last) = regression(c, i, size)?;
        if size == b + 1 && b > 0 {
            edge = edge.max(column[b].abs() / (column[0] * last).sqrt());
        }
        // S += l lᵀ with l = column / √column[0]
        for (p, x) in column.iter().enumerate() {
            for (q, y) in column[..=p].iter().enumerate() {
                inverse.add(i + p, i + q, x * y / column[0]);
            }
        }
    }
    Ok(Completion { inverse, edge })
}

/// First column and last diagonal element of the inverse of the block of `size` unknowns from `i` on.
fn regression(c: &SymmetricBand, i: usize, size: usize) -> Result<(Vec<f64>, f64), NumericsError> {
    let mut block = SymmetricBand::zeros(size, size - 1);
    for p in 0..size {
        for q in 0..=p {
            block.add(p, q, c.get(i + p, i + q));
        }
    }
    let chol = block.cholesky().map_err(|e| match e {
        NumericsError::NotPositiveDefinite { pivot, .. } => {
            NumericsError::NotPositiveDefinite { row: i, n: c.order(), pivot }
        }
        other => other,
    })?;
    let mut unit = vec![0.0; size];
    unit[0] = 1.0;
    Ok((chol.solve(&unit), chol.factor().get(size - 1, size - 1).powi(-2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use ndarray_linalg::Inverse;

    #[test]
    fn a_banded_matrix_is_recovered_from_the_band_of_its_inverse() {
        let n = 30;
        let s = Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
            0 => 2.0 + 0.1 * (i as f64).cos(),
            1 => -0.7,
            2 => 0.2 + 0.001 * (i + j) as f64,
            _ => 0.0,
        });
        let inverse = s.inv().unwrap();
        let mut c = SymmetricBand::zeros(n, 2);
        for i in 0..n {
            for j in i.saturating_sub(2)..=i {
                c.add(i, j, inverse[(i, j)]);
            }
        }
        let Completion { inverse: got, edge } = complete(&c).unwrap();
        // the partial correlation of bins i and i + 2 is -S[i, i + 2] / sqrt of the diagonal block's determinant
        assert!((0.05..0.5).contains(&edge), "{edge}");
        for i in 0..n {
            for j in 0..=i {
                assert!((got.get(i, j) - s[(i, j)]).abs() < 1e-13, "({i}, {j})");
            }
        }
    }
}
