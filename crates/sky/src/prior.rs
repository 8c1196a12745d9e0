//! What the sky fibres tell about all fibres: how the airglow changes over the field, and how much throughput,
//! shift and width scatter from fibre to fibre beyond their errors. What does not vary significantly is not
//! adjusted, and what a fibre's own lines do not tell stays near 0.

use crate::{Params, adjust::KINDS, measure::Measurement};
use datamodel::Frame;
use numerics::{SymmetricBand, robust};

/// Fewest sky fibres that tell a scatter.
const FEWEST: usize = 5;
/// A gradient counts if it lowers chi2 by this much: 3 sigma of two degrees of freedom.
const GRADIENT_CHI2: f64 = 11.8;
/// A scatter counts if it exceeds the expected one by this many of its errors.
const SCATTER_NSIG: f64 = 3.0;
/// Median of a chi2 of one degree of freedom.
const CHI2_MEDIAN: f64 = 0.4549;

/// Gradient of the airglow and prior variances.
pub struct Prior {
    gradient: Option<Gradient>,
    /// Of each coefficient; 0 where it does not vary.
    pub variances: Vec<f64>,
}

impl Prior {
    /// From the measured sky fibres: (row, measurement of all coefficients).
    pub fn of(frame: &Frame, measured: &[(usize, Measurement)], terms: usize, params: &Params) -> Self {
        let n = KINDS * terms;
        if measured.len() < FEWEST {
            return Self { gradient: None, variances: vec![0.0; n] };
        }
        let gradient = if params.adjust_throughput { Gradient::fit(frame, measured) } else { None };
        let enabled = [params.adjust_throughput, params.adjust_wavelength, params.adjust_lsf];
        let airglow = |row: usize| gradient.as_ref().map_or(0.0, |g| g.at(row).0);
        let variance = |i: usize| {
            let values: Vec<(f64, f64)> = measured
                .iter()
                .map(|(row, m)| (m.value[i] - if i == 0 { airglow(*row) } else { 0.0 }, m.variance[i]))
                .collect();
            if enabled[i / terms] { scatter(&values) } else { 0.0 }
        };
        let variances = (0..n).map(variance).collect();
        Self { gradient, variances }
    }

    /// Nothing varies.
    pub fn is_none(&self) -> bool {
        self.gradient.is_none() && self.varying().is_empty()
    }

    /// Coefficients that vary.
    pub fn varying(&self) -> Vec<usize> {
        (0..self.variances.len()).filter(|&i| self.variances[i] > 0.0).collect()
    }

    /// Relative airglow at a fibre and its variance.
    pub fn airglow(&self, row: usize) -> (f64, f64) {
        self.gradient.as_ref().map_or((0.0, 0.0), |g| g.at(row))
    }
}

/// Variance of (value, variance of its error) beyond the errors, 0 where that is not significant.
fn scatter(values: &[(f64, f64)]) -> f64 {
    let squares: Vec<f64> = values.iter().map(|(v, _)| v * v).collect();
    let variances: Vec<f64> = values.iter().map(|(_, v)| *v).collect();
    let observed = robust::median(&squares).unwrap_or(0.0) / CHI2_MEDIAN;
    let noise = robust::median(&variances).unwrap_or(0.0);
    // relative error of a variance from the median square of a Gaussian
    let error = 2.33 / (values.len() as f64).sqrt();
    if observed > (1.0 + SCATTER_NSIG * error) * noise { observed - noise } else { 0.0 }
}

/// The airglow as a linear function of the place in the focal plane, 0 in the middle of the sky fibres.
struct Gradient {
    position: Vec<[f64; 2]>,
    centre: [f64; 2],
    slope: [f64; 2],
    covariance: SymmetricBand,
}

impl Gradient {
    /// Weighted least squares; `None` if it is not significant or the fibermap has no positions.
    fn fit(frame: &Frame, measured: &[(usize, Measurement)]) -> Option<Self> {
        let column = |name: &str| frame.fibermap.table.floats(name);
        let (x, y) = (column("FIBERASSIGN_X")?, column("FIBERASSIGN_Y")?);
        let position: Vec<[f64; 2]> = x.into_iter().zip(y).map(|(x, y)| [x, y]).collect();
        let data: Vec<(usize, f64, f64)> = measured
            .iter()
            .map(|(row, m)| (*row, m.alone(0)))
            .filter(|(row, (value, _))| value.is_finite() && position[*row].iter().all(|p| p.is_finite()))
            .map(|(row, (value, variance))| (row, value, 1.0 / variance))
            .collect();
        let total: f64 = data.iter().map(|d| d.2).sum();
        let mean = |k: usize| data.iter().map(|&(row, _, w)| w * position[row][k]).sum::<f64>() / total;
        let centre = [mean(0), mean(1)];
        let offset: f64 = data.iter().map(|d| d.1 * d.2).sum::<f64>() / total;
        let mut normal = SymmetricBand::zeros(2, 1);
        let mut rhs = [0.0; 2];
        for &(row, value, w) in &data {
            let d = [position[row][0] - centre[0], position[row][1] - centre[1]];
            for i in 0..2 {
                rhs[i] += w * d[i] * (value - offset);
                (0..=i).for_each(|k| normal.add(i, k, w * d[i] * d[k]));
            }
        }
        let factor = normal.cholesky().ok()?;
        let slope = factor.solve(&rhs);
        let gain = slope[0] * rhs[0] + slope[1] * rhs[1];
        (gain > GRADIENT_CHI2).then(|| Self {
            position,
            centre,
            slope: [slope[0], slope[1]],
            covariance: factor.inverse_band(1),
        })
    }

    /// Relative airglow at a row and its variance; the mean one where the place is not known.
    fn at(&self, row: usize) -> (f64, f64) {
        if self.position[row].iter().any(|p| !p.is_finite()) {
            return (0.0, 0.0);
        }
        let d = [0, 1].map(|k| self.position[row][k] - self.centre[k]);
        let c = |i: usize, k: usize| self.covariance.get(i, k);
        let variance = d[0] * d[0] * c(0, 0) + 2.0 * d[0] * d[1] * c(0, 1) + d[1] * d[1] * c(1, 1);
        (d[0] * self.slope[0] + d[1] * self.slope[1], variance)
    }
}
