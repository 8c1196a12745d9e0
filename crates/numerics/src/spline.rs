//! Weighted least-squares cubic B-spline with given interior knots: a smooth curve through noisy data.

use crate::{NumericsError, SymmetricBand};

/// The B-splines of least-squares fits where the data are: for smooth curves through many data sets at the same places.
#[derive(Debug, Clone)]
pub struct SplineBasis<'a> {
    x: &'a [f64],
    spacing: f64,
    knots: Vec<f64>,
    /// Knot span of each place, and the four B-splines that live in it.
    spans: Vec<usize>,
    values: Vec<[f64; 4]>,
}

impl<'a> SplineBasis<'a> {
    /// For data with weights `w` (inverse variances; 0 rejects) at ascending `x`, with interior knots every `spacing` (units
    /// of `x`), evenly spread over the range that has data. Knots that the data do not support are dropped.
    ///
    /// # Errors
    /// [`NumericsError::TooFewData`] with fewer than two usable points.
    pub fn new(x: &'a [f64], w: &[f64], spacing: f64) -> Result<Self, NumericsError> {
        let knots = knots_of(x, w, spacing)?;
        let mut span = FIRST_SPAN;
        let spans: Vec<usize> = x
            .iter()
            .map(|&x| {
                span = next_span(&knots, span, x);
                span
            })
            .collect();
        let values = x.iter().zip(&spans).map(|(&x, &span)| basis(&knots, span, x)).collect();
        Ok(Self { x, spacing, knots, spans, values })
    }

    /// Whether these are the B-splines of data with weights `w`, too.
    pub fn suits(&self, w: &[f64]) -> bool {
        knots_of(self.x, w, self.spacing).is_ok_and(|knots| knots == self.knots)
    }

    /// The curve through `y` with weights `w`, at `x`; beyond the data it holds its end polynomials.
    ///
    /// # Errors
    /// [`NumericsError::NotPositiveDefinite`] if a weight is not finite.
    pub fn smooth(&self, y: &[f64], w: &[f64]) -> Result<Vec<f64>, NumericsError> {
        let coefficients = self.solve(y, w)?;
        let at = |(&span, b): (&usize, &[f64; 4])| {
            let c = &coefficients[span - 3..=span];
            b[0] * c[0] + b[1] * c[1] + b[2] * c[2] + b[3] * c[3]
        };
        Ok(self.spans.iter().zip(&self.values).map(at).collect())
    }

    fn solve(&self, y: &[f64], w: &[f64]) -> Result<Vec<f64>, NumericsError> {
        let m = self.knots.len() - 4;
        let mut normal = SymmetricBand::zeros(m, 3);
        let mut rhs = vec![0.0; m];
        let mut start = 0;
        for places in self.spans.chunk_by(|a, b| a == b) {
            let of_span = start..start + places.len();
            start = of_span.end;
            // at first in registers: the sums of all places of a span go to the same terms
            let (mut sums, mut right) = ([[0.0; 4]; 4], [0.0; 4]);
            for i in of_span.filter(|&i| w[i] > 0.0) {
                let b = &self.values[i];
                for p in 0..4 {
                    let weighted = w[i] * b[p];
                    right[p] += weighted * y[i];
                    for q in 0..=p {
                        sums[p][q] += weighted * b[q];
                    }
                }
            }
            let first = places[0] - 3;
            for p in 0..4 {
                rhs[first + p] += right[p];
                (0..=p).for_each(|q| normal.add(first + p, first + q, sums[p][q]));
            }
        }
        // fewer data than terms (a cubic through 2 or 3 points) leaves directions free: pin them faintly
        let scale = normal.diagonal().into_iter().fold(0.0, f64::max);
        (0..m).for_each(|i| normal.add(i, i, 1e-12 * scale));
        Ok(normal.cholesky()?.solve(&rhs))
    }
}

/// Full knot vector for data with weights `w` at `x`: evenly spread where there are data to support it.
fn knots_of(x: &[f64], w: &[f64], spacing: f64) -> Result<Vec<f64>, NumericsError> {
    let data: Vec<f64> = x.iter().zip(w).filter(|(_, w)| **w > 0.0).map(|(x, _)| *x).collect();
    let [a, .., b] = data[..] else {
        return Err(NumericsError::TooFewData { what: "spline fit", found: data.len(), needed: 2 });
    };
    let n = ((b - a) / spacing) as usize;
    let step = (b - a) / (n + 1) as f64;
    Ok(supported_knots((0..n).map(|k| a + step * (0.5 + k as f64)), &data))
}

/// Full knot vector whose every B-spline has data below it (the Schoenberg-Whitney conditions, thinned).
fn supported_knots(wanted: impl Iterator<Item = f64>, data: &[f64]) -> Vec<f64> {
    let (a, b) = (data[0], data[data.len() - 1]);
    let mut interior = vec![];
    let (mut before, mut here) = (0, 0);
    for k in wanted {
        while here < data.len() && data[here] < k {
            here += 1;
        }
        // a data point between neighbouring knots, and enough points left for the terms that remain
        if here > before && here < data.len() {
            interior.push(k);
            before = here;
        }
    }
    while interior.len() + 4 > data.len() && !interior.is_empty() {
        interior.pop();
    }
    let mut knots = vec![a; 4];
    knots.extend(interior);
    knots.extend([b; 4]);
    knots
}

/// The first knot span: the first knot is repeated four times.
const FIRST_SPAN: usize = 3;

/// Knot span of `x`, at or after `span`; the last one holds what lies beyond.
fn next_span(knots: &[f64], mut span: usize, x: f64) -> usize {
    let last = knots.len() - 5;
    while span < last && knots[span + 1] <= x {
        span += 1;
    }
    span
}

/// The four cubic B-splines that live in a knot span, at `x` (de Boor 1978, algorithm BSPLVB).
fn basis(knots: &[f64], span: usize, x: f64) -> [f64; 4] {
    let mut b = [0.0; 4];
    b[0] = 1.0;
    let (mut left, mut right) = ([0.0; 4], [0.0; 4]);
    for j in 1..4 {
        left[j] = x - knots[span + 1 - j];
        right[j] = knots[span + j] - x;
        let mut saved = 0.0;
        for r in 0..j {
            let t = b[r] / (right[r + 1] + left[j - r]);
            b[r] = saved + right[r + 1] * t;
            saved = left[j - r] * t;
        }
        b[j] = saved;
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_is_reproduced_exactly_beyond_the_data_too() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) * 0.5).collect();
        let y: Vec<f64> = x.iter().map(|&x| 1.0 - 0.3 * x + 0.02 * x * x - 1e-4 * x * x * x).collect();
        let w: Vec<f64> = (0..200).map(|i| f64::from(u8::from((4..195).contains(&i)))).collect();
        let basis = SplineBasis::new(&x, &w, 10.0).unwrap();
        for (smooth, y) in basis.smooth(&y, &w).unwrap().iter().zip(&y) {
            assert!((smooth - y).abs() < 1e-6, "{smooth} {y}");
        }
        // twice the weights are the same places, all the places are not
        assert!(basis.suits(&w.iter().map(|w| 2.0 * w).collect::<Vec<_>>()) && !basis.suits(&[1.0; 200]));
    }

    #[test]
    fn gaps_and_few_points_do_not_fail() {
        let x: Vec<f64> = (0..200).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| (x / 20.0).sin()).collect();
        let w: Vec<f64> = (0..200).map(|i| if (60..140).contains(&i) { 0.0 } else { 1.0 }).collect();
        let basis = SplineBasis::new(&x, &w, 5.0).unwrap();
        assert!(!basis.suits(&[1.0; 200]));
        let smooth = basis.smooth(&y, &w).unwrap();
        assert!((smooth[30] - y[30]).abs() < 1e-3);
        assert!((smooth[170] - y[170]).abs() < 1e-3);
        let few = SplineBasis::new(&x[..3], &[1.0, 0.0, 1.0], 5.0).unwrap();
        assert!(few.smooth(&y[..3], &[1.0, 0.0, 1.0]).is_ok());
        assert!(SplineBasis::new(&x[..3], &[1.0, 0.0, 0.0], 5.0).is_err());
    }
}
