//! Throughput, shift and width of one fibre on the bright lines of the sky: linear least squares in windows
//! around them, each with a free constant under it for the light that is no sky.

use crate::adjust::{Adjustment, Basis, KINDS, derivatives};
use datamodel::Frame;
use numerics::{SymmetricBand, robust};
use std::ops::Range;

/// Half width in bins of the window around a line.
const WINDOW: usize = 3;
/// Fewest good bins of a window that tells more than its constant.
const FEWEST: usize = 4;
/// Relative error of the sky in a line and of the object's continuum (its own lines) beside the noise.
const LINE_ERROR: f64 = 0.005;
const OBJECT_ERROR: f64 = 0.05;

/// Bins around lines; each belongs to the first line that reaches it.
pub struct Windows(Vec<Range<usize>>);

impl Windows {
    /// Around ascending `peaks`.
    pub fn around(peaks: &[usize], nwave: usize) -> Self {
        let mut end = 0;
        let window = |&peak: &usize| {
            let start = peak.saturating_sub(WINDOW).max(end);
            end = (peak + WINDOW + 1).min(nwave);
            start..end
        };
        Self(peaks.iter().map(window).collect())
    }
}

/// Normal equations of one fibre for the coefficients wanted.
pub struct Measurement {
    normal: SymmetricBand,
    rhs: Vec<f64>,
    /// Least-squares solution.
    pub value: Vec<f64>,
    /// Variances of the solution.
    pub variance: Vec<f64>,
}

impl Measurement {
    /// Of the coefficients `wanted` (kind times terms plus term); `None` where the fibre has too few data.
    pub fn of(
        frame: &Frame,
        f: usize,
        sky: &[f64],
        windows: &Windows,
        basis: &Basis,
        wanted: &[usize],
    ) -> Option<Self> {
        let n = wanted.len();
        let mut sums = Sums::new(n);
        let ivar = frame.good_ivar(f);
        let parts: Vec<[usize; 2]> = wanted.iter().map(|&i| basis.kind_and_term(i)).collect();
        for bins in &windows.0 {
            let good: Vec<usize> = bins.clone().filter(|&j| ivar[j] > 0.0).collect();
            if good.len() < FEWEST {
                continue;
            }
            let residual: Vec<f64> = good.iter().map(|&j| f64::from(frame.flux[(f, j)]) - sky[j]).collect();
            let object = OBJECT_ERROR * robust::median(&residual).unwrap_or(0.0);
            for (&j, &r) in good.iter().zip(&residual) {
                let (d, p) = (derivatives(sky, j), basis.at(j));
                let weight = 1.0 / (1.0 / ivar[j] + (LINE_ERROR * sky[j]).powi(2) + object * object);
                sums.add(weight, parts.iter().map(|&[kind, term]| d[kind] * p[term]), r);
            }
            sums.close_window();
        }
        let (normal, rhs) = (sums.normal, sums.rhs);
        let factor = normal.clone().cholesky().ok()?;
        let variance = factor.inverse_band(n - 1).diagonal();
        Some(Self { value: factor.solve(&rhs), variance, normal, rhs })
    }

    /// Coefficient `i` and its variance if all the others are 0.
    pub fn alone(&self, i: usize) -> (f64, f64) {
        let information = self.normal.get(i, i);
        (self.rhs[i] / information, 1.0 / information)
    }

    /// The adjustment drawn towards 0, but for the airglow, by a prior of these variances (of all coefficients).
    pub fn adjustment(mut self, variances: &[f64], wanted: &[usize], airglow: (f64, f64)) -> Adjustment {
        let terms = variances.len() / KINDS;
        let n = wanted.len();
        // the airglow is a known part of the throughput's constant term
        let constant = wanted.iter().position(|&i| i == 0 && terms > 0);
        for i in 0..n {
            if let Some(k) = constant {
                self.rhs[i] -= airglow.0 * self.normal.get(i, k);
            }
        }
        for (i, &w) in wanted.iter().enumerate() {
            self.normal.add(i, i, 1.0 / variances[w]);
        }
        let mut out = Adjustment { airglow, ..Adjustment::default() };
        if let Ok(factor) = self.normal.cholesky() {
            (out.coefficients, out.variances) = (vec![0.0; variances.len()], vec![0.0; variances.len()]);
            for ((&w, c), v) in wanted.iter().zip(factor.solve(&self.rhs)).zip(factor.inverse_band(n - 1).diagonal()) {
                (out.coefficients[w], out.variances[w]) = (c, v);
            }
        }
        out
    }
}

/// Sums of the normal equations; the constant of the open window is projected out when it is closed.
struct Sums {
    normal: SymmetricBand,
    rhs: Vec<f64>,
    weight: f64,
    columns: Vec<f64>,
    residual: f64,
    row: Vec<f64>,
}

impl Sums {
    fn new(n: usize) -> Self {
        Self {
            normal: SymmetricBand::zeros(n, n.saturating_sub(1)),
            rhs: vec![0.0; n],
            weight: 0.0,
            columns: vec![0.0; n],
            residual: 0.0,
            row: vec![0.0; n],
        }
    }

    fn add(&mut self, weight: f64, row: impl Iterator<Item = f64>, residual: f64) {
        self.row.iter_mut().zip(row).for_each(|(r, value)| *r = value);
        let n = self.row.len();
        for i in 0..n {
            let w = weight * self.row[i];
            self.rhs[i] += w * residual;
            self.columns[i] += w;
            let target = &mut self.normal.row_mut(i)[n - 1 - i..];
            target.iter_mut().zip(&self.row[..=i]).for_each(|(t, r)| *t += w * r);
        }
        self.weight += weight;
        self.residual += weight * residual;
    }

    fn close_window(&mut self) {
        let n = self.row.len();
        for i in 0..n {
            let mean = self.columns[i] / self.weight;
            self.rhs[i] -= mean * self.residual;
            let target = &mut self.normal.row_mut(i)[n - 1 - i..];
            target.iter_mut().zip(&self.columns[..=i]).for_each(|(t, c)| *t -= mean * c);
        }
        (self.weight, self.residual) = (0.0, 0.0);
        self.columns.fill(0.0);
    }
}
