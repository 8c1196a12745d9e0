//! The exact fit of one template: near the minima of the coarse scan, the exact chi2 on the template's own
//! redshift grid, then on a fine grid, then a parabola.

use crate::{
    archetype::Match,
    basis::Basis,
    classify::same_redshift,
    minima::{local_minima, near_minima, parabola, velocity},
    model::{Data, SINGULAR},
    prior::Prior,
};
use datamodel::mask::zwarn::{BAD_MINFIT, Z_FITLIMIT};

/// Points of the fine grid between the neighbours of a minimum.
const FINE_POINTS: usize = 15;

/// By how much the exact chi2 of a minimum may be below a value near it (measured, see the documentation): a constant,
/// and a part of the value's depth below what chi2 is away from minima, for narrow lines may be unresolved by the grid;
/// but of that no more than some times the rise of the scan to the minimum's neighbours, for without a rise nothing narrow
/// is there.
struct Allowance {
    constant: f64,
    depths: f64,
    rises: f64,
}

/// Below a value of the coarse scan.
const COARSE: Allowance = Allowance { constant: 10.0, depths: 0.4, rises: 4.0 };

/// Below an exact value on the grid: the minimum may lie between its points.
const EXACT: Allowance = Allowance { constant: 3.0, depths: 0.35, rises: 2.0 };

/// No more minima of the coarse scan than this are looked at.
const MOST_CANDIDATES: usize = 60;

/// On a grid finer than this (km/s; stars) the exact chi2 is sampled about this densely to find its minima: finer
/// than the resolution, so that chi2 has no structure between.
const DENSE_STEP: f64 = 25.0;

/// Where chi2 of a star falls by more than this, its small steps between points of the grid, as the bins cut the lines, make
/// minima of their own: it is sampled at all of them.
const RAGGED: f64 = 1e3;

/// A minimum of chi2 of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// Index of the template.
    pub template: usize,
    /// Its class.
    pub spectype: String,
    /// Index of the minimum on the template's redshift grid.
    pub grid: usize,
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
    /// The archetype whose chi2 this is, if there are archetypes of the class.
    pub archetype: Option<Box<Match>>,
}

impl Minimum {
    /// Number of coefficients of the spectrum that fits.
    pub fn ncoeff(&self) -> usize {
        if self.archetype.is_some() { 1 } else { self.coeff.len() }
    }
}

/// Which minima of a template are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// So many, the lowest at different redshifts.
    pub nminima: usize,
    /// Only those below this chi2.
    pub bound: f64,
    /// Whether the last of them matters as much as the first; else the answer and its rival do.
    pub all: bool,
}

/// One template and one target.
pub struct Search<'a, 'd> {
    /// Index of the template.
    template: usize,
    basis: &'a Basis,
    data: &'a mut Data<'d>,
    prior: Option<&'a Prior>,
    /// Exact chi2 (with penalty and prior) on the grid; NaN where it is not known.
    exact: Vec<f64>,
}

impl<'a, 'd> Search<'a, 'd> {
    /// Nothing is computed yet.
    pub fn new(template: usize, basis: &'a Basis, data: &'a mut Data<'d>, prior: Option<&'a Prior>) -> Self {
        let exact = vec![f64::NAN; basis.template.redshifts.len()];
        Self { template, basis, data, prior, exact }
    }

    /// The wanted minima by chi2. `coarse` is the scan, prior included; without it the exact chi2 is computed on the whole
    /// grid. Coefficients are left 0.
    pub fn minima(mut self, coarse: Option<&[f64]>, wanted: Wanted) -> Vec<Minimum> {
        let Wanted { nminima, bound, .. } = wanted;
        let Some(coarse) = coarse else {
            (0..self.exact.len()).for_each(|i| _ = self.at(i));
            return self.refine_all(nminima, f64::INFINITY, true);
        };
        let Some(&lowest) = local_minima(coarse).first() else { return Vec::new() };
        let level = self.level(coarse);
        let reach = COARSE.of(level - coarse[lowest], f64::INFINITY);
        if self.at(lowest) - reach > bound {
            return Vec::new();
        }
        match self.stride() {
            0 | 1 => self.follow(coarse, wanted, level),
            _ if level - coarse[lowest] > RAGGED => self.sample(coarse, 1, wanted),
            stride => self.sample(coarse, stride, wanted),
        }
        self.refine_all(nminima, bound + reach, false)
    }

    /// Refines the known minima of the grid up to `limit`, in order of chi2, `nminima` of them at different redshifts.
    fn refine_all(&mut self, nminima: usize, limit: f64, thorough: bool) -> Vec<Minimum> {
        let same = same_redshift(&self.basis.template.spectype);
        let mut found: Vec<Minimum> = Vec::new();
        for i in self.known_minima() {
            if found.len() == nminima || self.exact[i] > limit {
                break;
            }
            let z = self.basis.template.redshifts[i];
            if found.iter().any(|f| velocity(z, f.z).abs() < same) {
                continue;
            }
            let fit = self.refine(i, thorough);
            if !found.iter().any(|f| velocity(fit.z, f.z).abs() < same) {
                found.push(fit);
            }
        }
        found.sort_by(|a, b| a.chi2.total_cmp(&b.chi2));
        found
    }

    /// What chi2 is away from minima: the median of a scan or, where the grid is so narrow that a minimum fills it,
    /// its highest point.
    fn level(&self, coarse: &[f64]) -> f64 {
        let highest = coarse.iter().copied().filter(|c| c.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        if self.stride() > 1 { highest } else { numerics::robust::median(coarse).unwrap_or(highest).min(highest) }
    }

    /// Exact chi2 at grid point `i`.
    fn at(&mut self, i: usize) -> f64 {
        if self.exact[i].is_nan() {
            let z = self.basis.template.redshifts[i];
            let prior = self.prior.map_or(0.0, |p| p.chi2(z));
            self.exact[i] = if prior.is_finite() { self.chi2(z) + prior } else { f64::INFINITY };
        }
        self.exact[i]
    }

    /// Exact chi2 with penalty.
    fn chi2(&mut self, z: f64) -> f64 {
        self.data.penalised_chi2(self.template, self.basis, z)
    }

    /// Computes the exact chi2 at the minima of the coarse scan, the lowest first, and walks downhill from them, as far
    /// as they can become one of the wanted ones.
    fn follow(&mut self, coarse: &[f64], wanted: Wanted, level: f64) {
        let mut reached: Vec<usize> = Vec::new();
        for i in near_minima(coarse).into_iter().take(MOST_CANDIDATES) {
            reached.sort_by(|&a, &b| self.exact[a].total_cmp(&self.exact[b]));
            let limit = self.nth_distinct(&reached, &self.exact, wanted.nminima).min(wanted.bound);
            let rise = if wanted.all { f64::INFINITY } else { rise(coarse, i) };
            if coarse[i] - COARSE.of(level - coarse[i], rise) > limit {
                continue;
            }
            let here = self.at(i);
            if here - EXACT.of(level - here, rise) <= limit {
                reached.push(self.descend(i));
            }
        }
    }

    /// Computes the exact chi2 at every `stride`-th point of the grid where it can be low enough, and walks downhill from
    /// its minima as far as they can be among the wanted ones.
    fn sample(&mut self, coarse: &[f64], stride: usize, wanted: Wanted) {
        let last = self.exact.len() - 1;
        let points: Vec<usize> = (0..last).step_by(stride).chain([last]).collect();
        let level = self.level(coarse);
        let within_reach = |i: usize| coarse[i] - COARSE.of(level - coarse[i], f64::INFINITY) <= wanted.bound;
        // every other point first, and those between two only where one of them is low enough
        let evaluate = |search: &mut Self, i: usize| if within_reach(i) { search.at(i) } else { f64::NAN };
        let some: Vec<usize> = points.iter().copied().step_by(2).collect();
        let chi2: Vec<f64> = some.iter().map(|&i| evaluate(self, i)).collect();
        let (level, end) = (self.level(&chi2), self.end(&some, &chi2, wanted));
        for (k, pair) in points.chunks(2).enumerate().filter(|(_, pair)| pair.len() == 2) {
            let beside = chi2[k].min(chi2.get(k + 1).copied().unwrap_or(f64::NAN));
            if beside.is_nan() || beside - COARSE.of(level - beside, f64::INFINITY) <= end {
                evaluate(self, pair[1]);
            }
        }
        let chi2: Vec<f64> = points.iter().map(|&i| self.exact[i]).collect();
        let (level, end) = (self.level(&chi2), self.end(&points, &chi2, wanted));
        for i in local_minima(&chi2).into_iter().map(|k| points[k]) {
            if self.exact[i] - COARSE.of(level - self.exact[i], f64::INFINITY) <= end {
                self.descend(i);
            }
        }
    }

    /// chi2 of the last of the wanted minima among some points of the grid.
    fn end(&self, points: &[usize], chi2: &[f64], wanted: Wanted) -> f64 {
        let minima: Vec<usize> = local_minima(chi2).into_iter().map(|k| points[k]).collect();
        self.nth_distinct(&minima, &self.exact, wanted.nminima).min(wanted.bound)
    }

    /// chi2 of the last of the first `nminima` points that are at different redshifts, infinite if there are fewer.
    fn nth_distinct(&self, points: &[usize], chi2: &[f64], nminima: usize) -> f64 {
        let same = same_redshift(&self.basis.template.spectype);
        let redshifts = &self.basis.template.redshifts;
        let mut distinct: Vec<usize> = Vec::new();
        for &i in points {
            if distinct.iter().all(|&d| velocity(redshifts[i], redshifts[d]).abs() >= same) {
                distinct.push(i);
            }
            if distinct.len() == nminima {
                return chi2[i];
            }
        }
        f64::INFINITY
    }

    /// Points of the grid in [`DENSE_STEP`].
    fn stride(&self) -> usize {
        let z = &self.basis.template.redshifts;
        let [first, .., last] = z.as_slice() else { return 1 };
        let step = velocity(*last, *first) / (z.len() - 1) as f64;
        (DENSE_STEP / step.max(1.0)) as usize
    }

    /// Walks downhill from grid point `i` to a point that is not above its neighbours.
    fn descend(&mut self, mut i: usize) -> usize {
        let last = self.exact.len() - 1;
        loop {
            let here = self.at(i);
            let (left, right) = (i.saturating_sub(1), (i + 1).min(last));
            let lower = if self.at(left) < self.at(right) { left } else { right };
            if self.at(lower) >= here {
                return i;
            }
            i = lower;
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

    /// The fine grid about grid point `i`, and the parabola through its lowest point, which is searched for by walking
    /// downhill or, if `thorough`, among all points.
    pub fn refine(&mut self, i: usize, thorough: bool) -> Minimum {
        let redshifts = &self.basis.template.redshifts;
        let last = redshifts.len() - 1;
        let (low, high) = (redshifts[i.saturating_sub(1)], redshifts[(i + 1).min(last)]);
        let (limit_low, limit_high) = (redshifts[1.min(last)], redshifts[last.saturating_sub(1)]);
        let outside = |z: f64| z < limit_low || z > limit_high;
        let mut fine = Fine::new(low, high);
        let lowest = match thorough {
            true => fine.lowest_of_all(|z| self.chi2(z)),
            false => fine.lowest(self.guess(i), |z| self.chi2(z)),
        };
        let middle = lowest.clamp(1, FINE_POINTS - 2);
        let three = [middle - 1, middle, middle + 1];
        let fit = parabola(three.map(|k| fine.z[k]), three.map(|k| fine.at(k, |z| self.chi2(z))));
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
        let coeff = vec![0.0; self.basis.len()];
        let spectype = self.basis.template.spectype.clone();
        Minimum { template: self.template, spectype, grid: i, z, zerr, zwarn, chi2: best, coeff, archetype: None }
    }

    /// Redshift of the minimum about grid point `i`, from a parabola through it and its neighbours.
    fn guess(&self, i: usize) -> f64 {
        let (z, chi2) = (&self.basis.template.redshifts, &self.exact);
        if i == 0 || i + 1 >= z.len() {
            return z[i];
        }
        let fit = parabola([z[i - 1], z[i], z[i + 1]], [chi2[i - 1], chi2[i], chi2[i + 1]]);
        fit.map(|p| p.z).filter(|p| p.is_finite()).unwrap_or(z[i])
    }
}

impl Allowance {
    /// For a value of some depth where the scan rises by `rise`.
    fn of(&self, depth: f64, rise: f64) -> f64 {
        self.constant + (self.depths * depth).min(self.rises * rise).max(0.0)
    }
}

/// By how much the scan rises from a point to its neighbours, in the mean.
fn rise(scan: &[f64], i: usize) -> f64 {
    0.5 * (scan[i.saturating_sub(1)] + scan[(i + 1).min(scan.len() - 1)]) - scan[i]
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

    /// The lowest point.
    fn lowest_of_all(&mut self, mut chi2: impl FnMut(f64) -> f64) -> usize {
        let mut lowest = 0;
        for k in 1..FINE_POINTS {
            if self.at(k, &mut chi2) < self.at(lowest, &mut chi2) {
                lowest = k;
            }
        }
        lowest
    }

    /// The lowest point that is found by walking downhill from the one nearest to a guess.
    fn lowest(&mut self, guess: f64, mut chi2: impl FnMut(f64) -> f64) -> usize {
        let place = (guess - self.z[0]) / (self.z[1] - self.z[0]);
        let mut lowest = (place.round().max(1.0) as usize).min(FINE_POINTS - 2);
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
