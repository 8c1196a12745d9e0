//! The exact fit of one template: near the minima of the coarse scan, the exact chi2 on the template's own
//! redshift grid, then on a fine grid, then a parabola.

use crate::{
    basis::Basis,
    classify::same_redshift,
    minima::{local_minima, parabola, velocity},
    model::{Data, SINGULAR},
    prior::Prior,
};
use datamodel::mask::zwarn::{BAD_MINFIT, Z_FITLIMIT};

/// Points of the fine grid between the neighbours of a minimum.
const FINE_POINTS: usize = 15;

/// A minimum of the coarse scan is looked at if its chi2 is below that of the last one wanted plus this
/// constant and this part of that one's depth below the median of the scan: what the coarse model may err.
const MARGIN: f64 = 10.0;
const RELATIVE_MARGIN: f64 = 0.15;

/// On a grid finer than this (km/s; stars) the exact chi2 is sampled about this densely to find its minima: finer
/// than the resolution, so that chi2 has no structure between.
const DENSE_STEP: f64 = 40.0;

/// A minimum of chi2 of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// Index of the template.
    pub template: usize,
    /// Its class.
    pub spectype: String,
    /// Redshift.
    pub z: f64,
    /// Its error.
    pub zerr: f64,
    /// Warnings of the fit.
    pub zwarn: i64,
    /// chi2 of the parabola, with the penalty.
    pub chi2: f64,
    /// Coefficients at `z`.
    pub coeff: Vec<f64>,
}

/// One template and one target.
pub struct Search<'a, 'd> {
    basis: &'a Basis,
    data: &'a mut Data<'d>,
    prior: Option<&'a Prior>,
    /// Exact chi2 (with penalty and prior) on the grid; NaN where it is not known.
    exact: Vec<f64>,
}

impl<'a, 'd> Search<'a, 'd> {
    /// Nothing is computed yet.
    pub fn new(basis: &'a Basis, data: &'a mut Data<'d>, prior: Option<&'a Prior>) -> Self {
        let exact = vec![f64::NAN; basis.template.redshifts.len()];
        Self { basis, data, prior, exact }
    }

    /// The best `nminima` minima of template number `template`, by chi2. `coarse` is the scan, prior included; without
    /// it the exact chi2 is computed on the whole grid.
    pub fn minima(mut self, template: usize, coarse: Option<&[f64]>, nminima: usize) -> Vec<Minimum> {
        match coarse {
            Some(_) if self.stride() > 1 => self.sample(self.stride(), nminima),
            Some(coarse) => self.evaluate_candidates(coarse, nminima),
            None => (0..self.exact.len()).for_each(|i| _ = self.at(i)),
        }
        let limit = same_redshift(&self.basis.template.spectype);
        let mut found: Vec<Minimum> = Vec::new();
        for i in self.known_minima() {
            if found.len() == nminima {
                break;
            }
            let z = self.basis.template.redshifts[i];
            if found.iter().any(|f| velocity(z, f.z).abs() < limit) {
                continue;
            }
            let fit = self.refine(i, template);
            if !found.iter().any(|f| velocity(fit.z, f.z).abs() < limit) {
                found.push(fit);
            }
        }
        found.sort_by(|a, b| a.chi2.total_cmp(&b.chi2));
        found
    }

    /// Exact chi2 at grid point `i`.
    fn at(&mut self, i: usize) -> f64 {
        if self.exact[i].is_nan() {
            let z = self.basis.template.redshifts[i];
            let prior = self.prior.map_or(0.0, |p| p.chi2(z));
            self.exact[i] = if prior.is_finite() { self.chi2(z).0 + prior } else { f64::INFINITY };
        }
        self.exact[i]
    }

    /// Exact chi2 with penalty, and coefficients.
    fn chi2(&mut self, z: f64) -> (f64, Vec<f64>) {
        let fit = self.data.fit(self.basis, z);
        (fit.chi2 + self.basis.penalty(&fit.coeff), fit.coeff)
    }

    /// Computes the exact chi2 about every minimum of the coarse scan that may be among the best `nminima`.
    fn evaluate_candidates(&mut self, coarse: &[f64], nminima: usize) {
        let median = numerics::robust::median(coarse).unwrap_or(0.0);
        let margin = |chi2: f64| MARGIN + RELATIVE_MARGIN * (median - chi2).max(0.0);
        self.descend_from(&local_minima(coarse), coarse, margin, nminima);
    }

    /// Computes the exact chi2 at every `stride`-th point of the grid, and about its minima.
    fn sample(&mut self, stride: usize, nminima: usize) {
        let last = self.exact.len() - 1;
        let points: Vec<usize> = (0..last).step_by(stride).chain([last]).collect();
        let chi2: Vec<f64> = points.iter().map(|&i| self.at(i)).collect();
        let minima: Vec<usize> = local_minima(&chi2).into_iter().map(|k| points[k]).collect();
        let known = self.exact.clone();
        self.descend_from(&minima, &known, |_| MARGIN, nminima);
    }

    /// Walks downhill from `starts` (by rising chi2) until those left cannot be among the best `nminima` that are
    /// distinct: their chi2 exceeds that of the last one by the margin.
    fn descend_from(&mut self, starts: &[usize], chi2: &[f64], margin: impl Fn(f64) -> f64, nminima: usize) {
        let limit = same_redshift(&self.basis.template.spectype);
        let redshifts = &self.basis.template.redshifts;
        let mut distinct: Vec<usize> = Vec::new();
        let mut end = f64::INFINITY;
        for &i in starts {
            if chi2[i] > end {
                break;
            }
            self.descend(i);
            if distinct.iter().all(|&d| velocity(redshifts[i], redshifts[d]).abs() >= limit) {
                distinct.push(i);
                if distinct.len() == nminima {
                    end = chi2[i] + margin(chi2[i]);
                }
            }
        }
    }

    /// Points of the grid in [`DENSE_STEP`].
    fn stride(&self) -> usize {
        let z = &self.basis.template.redshifts;
        let [first, .., last] = z.as_slice() else { return 1 };
        let step = velocity(*last, *first) / (z.len() - 1) as f64;
        (DENSE_STEP / step.max(1.0)) as usize
    }

    /// Walks downhill from grid point `i` to a point that is lower than its neighbours.
    fn descend(&mut self, mut i: usize) {
        let last = self.exact.len() - 1;
        loop {
            let here = self.at(i);
            let (left, right) = (i.saturating_sub(1), (i + 1).min(last));
            let lower = if self.at(left) < self.at(right) { left } else { right };
            if self.at(lower) < here {
                i = lower;
            } else {
                break;
            }
        }
    }

    /// Minima among the points whose neighbours are known, by chi2.
    fn known_minima(&self) -> Vec<usize> {
        let last = self.exact.len().saturating_sub(1);
        let known = |i: usize| !self.exact[i].is_nan();
        let mut minima = local_minima(&self.exact);
        minima.retain(|&i| known(i.saturating_sub(1)) && known((i + 1).min(last)) && self.exact[i] < SINGULAR);
        minima
    }

    /// The fine grid about grid point `i`, and the parabola through its lowest point.
    fn refine(&mut self, i: usize, template: usize) -> Minimum {
        let redshifts = &self.basis.template.redshifts;
        let last = redshifts.len() - 1;
        let (low, high) = (redshifts[i.saturating_sub(1)], redshifts[(i + 1).min(last)]);
        let (limit_low, limit_high) = (redshifts[1.min(last)], redshifts[last.saturating_sub(1)]);
        let outside = |z: f64| z < limit_low || z > limit_high;
        let mut fine = Fine::new(low, high);
        let lowest = fine.lowest(|z| self.chi2(z).0);
        let middle = lowest.clamp(1, FINE_POINTS - 2);
        let three = [middle - 1, middle, middle + 1];
        let fit = parabola(three.map(|k| fine.z[k]), three.map(|k| fine.at(k, |z| self.chi2(z).0)));
        let (mut z, zerr, mut best, mut zwarn) =
            fit.map_or((f64::NAN, 0.0, 0.0, BAD_MINFIT), |p| (p.z, p.zerr, p.chi2, p.zwarn));
        if z.is_nan() || outside(z) {
            zwarn |= Z_FITLIMIT;
        }
        if z.is_nan() || z < low || z > high {
            zwarn |= BAD_MINFIT;
            (z, best) = (fine.z[lowest], fine.chi2[lowest]);
        }
        if outside(z) {
            zwarn |= Z_FITLIMIT;
        }
        let (_, coeff) = self.chi2(z);
        Minimum { template, spectype: self.basis.template.spectype.clone(), z, zerr, zwarn, chi2: best, coeff }
    }
}

/// The fine grid about a minimum; chi2 is computed where it is needed.
struct Fine {
    z: [f64; FINE_POINTS],
    chi2: [f64; FINE_POINTS],
}

impl Fine {
    fn new(low: f64, high: f64) -> Self {
        let step = (high - low) / (FINE_POINTS - 1) as f64;
        Self { z: std::array::from_fn(|k| low + k as f64 * step), chi2: [f64::NAN; FINE_POINTS] }
    }

    fn at(&mut self, k: usize, mut chi2: impl FnMut(f64) -> f64) -> f64 {
        if self.chi2[k].is_nan() {
            self.chi2[k] = chi2(self.z[k]);
        }
        self.chi2[k]
    }

    /// The lowest point, found from every third one by walking downhill.
    fn lowest(&mut self, mut chi2: impl FnMut(f64) -> f64) -> usize {
        let mut lowest = 1;
        for k in (1..FINE_POINTS).step_by(3) {
            if self.at(k, &mut chi2) < self.at(lowest, &mut chi2) {
                lowest = k;
            }
        }
        loop {
            let here = self.at(lowest, &mut chi2);
            let sides = [lowest.saturating_sub(1), (lowest + 1).min(FINE_POINTS - 1)];
            let side = if self.at(sides[1], &mut chi2) < self.at(sides[0], &mut chi2) { sides[1] } else { sides[0] };
            if self.at(side, &mut chi2) >= here {
                return lowest;
            }
            lowest = side;
        }
    }
}
