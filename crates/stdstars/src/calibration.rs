//! The comparison of a star's spectrum with models: least squares over a free smooth calibration.
//!
//! `data = c(λ) · model` with `c` a cubic spline. For each model `c` is solved (a system of 7 diagonals) and the chi2 that is
//! left is returned, so that nothing but lines narrower than the knots counts. Straight pieces would not do: what bends
//! between two knots (the atmosphere below 4000 Angstrom) looks like a Balmer jump then, and models of wrong gravity win.

/// Spacing of the knots in bins: wider than a line, narrower than what a calibration does.
pub const KNOT_SPACING: usize = 200;

/// Bins over which the calibration is taken to be constant: the atmosphere makes 0.6% of 6 Angstrom at 3600, half of it on
/// either side.
const GROUP: usize = 8;
const GROUPS: usize = KNOT_SPACING / GROUP;

/// Pieces of the spline that overlap in a bin: cubic.
const ORDER: usize = 4;

/// The uniform cubic B-splines between two knots, at the middle of each group.
const SPLINES: [[f64; ORDER]; GROUPS] = {
    let mut table = [[0.0; ORDER]; GROUPS];
    let mut group = 0;
    while group < GROUPS {
        let u = (group as f64 + 0.5) / GROUPS as f64;
        let v = 1.0 - u;
        table[group] = [
            v * v * v / 6.0,
            (4.0 - 6.0 * u * u + 3.0 * u * u * u) / 6.0,
            (4.0 - 6.0 * v * v + 3.0 * v * v * v) / 6.0,
            u * u * u / 6.0,
        ];
        group += 1;
    }
    table
};

/// Number of coefficients of the calibration of so many bins.
pub fn ncoefficients(bins: usize) -> usize {
    bins.div_ceil(KNOT_SPACING) + ORDER - 1
}

/// Data and their weights.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Inverse variance of each bin, 0 if it is left out.
    values: Vec<f64>,
    /// The same times the data.
    signal: Vec<f64>,
    /// chi2 of a model that is 0.
    total: f64,
}

impl Weights {
    /// Of data with these inverse variances.
    pub fn new(data: &[f64], values: Vec<f64>) -> Self {
        let signal: Vec<f64> = values.iter().zip(data).map(|(w, d)| w * d).collect();
        let total = signal.iter().zip(data).map(|(s, d)| s * d).sum();
        Self { values, signal, total }
    }

    /// Inverse variances.
    #[cfg(test)]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// chi2 of a projected model after its best smooth calibration.
    pub fn chi2(&self, projected: &[f64]) -> f64 {
        let mut system = Banded::new(ncoefficients(projected.len()));
        let mut sums = vec![(0.0, 0.0); projected.len().div_ceil(GROUP)];
        products(projected, &self.values, &self.signal, &mut sums);
        for (k, groups) in sums.chunks(GROUPS).enumerate() {
            system.add(k, groups);
        }
        self.total - system.quadratic_form()
    }
}

numerics::dispatch! {
    /// Sums over each group of bins of `w m²` and `s m`.
    fn products(m: &[f64], w: &[f64], s: &[f64], sums: &mut [(f64, f64)]) -> () = group_sums | group_sums
}

#[inline(always)]
fn group_sums(m: &[f64], w: &[f64], s: &[f64], sums: &mut [(f64, f64)]) {
    let (wide, rest) = m.as_chunks::<GROUP>();
    let (w_wide, w_rest) = w.as_chunks::<GROUP>();
    let (s_wide, s_rest) = s.as_chunks::<GROUP>();
    for (((m, w), s), sum) in wide.iter().zip(w_wide).zip(s_wide).zip(sums.iter_mut()) {
        *sum = of_group(m, w, s);
    }
    if let (false, Some(last)) = (rest.is_empty(), sums.last_mut()) {
        let padded = |values: &[f64]| {
            let mut all = [0.0; GROUP];
            all[..values.len()].copy_from_slice(values);
            all
        };
        *last = of_group(&padded(rest), &padded(w_rest), &padded(s_rest));
    }
}

#[inline(always)]
fn of_group(m: &[f64; GROUP], w: &[f64; GROUP], s: &[f64; GROUP]) -> (f64, f64) {
    let square: [f64; GROUP] = std::array::from_fn(|i| w[i] * m[i] * m[i]);
    let product: [f64; GROUP] = std::array::from_fn(|i| s[i] * m[i]);
    (halved(square), halved(product))
}

/// The sum, in an order that vectors take too.
#[inline(always)]
fn halved(x: [f64; GROUP]) -> f64 {
    let four: [f64; 4] = std::array::from_fn(|i| x[i] + x[i + 4]);
    let two = [four[0] + four[2], four[1] + four[3]];
    two[0] + two[1]
}

/// Normal equations of a spline's coefficients: `rows[i][d]` couples coefficient `i` with `i - d`.
struct Banded {
    rows: Vec<[f64; ORDER]>,
    rhs: Vec<f64>,
}

impl Banded {
    fn new(n: usize) -> Self {
        Self { rows: vec![[0.0; ORDER]; n], rhs: vec![0.0; n] }
    }

    /// Adds the sums of the groups of interval `k`.
    fn add(&mut self, k: usize, groups: &[(f64, f64)]) {
        for ((square, product), spline) in groups.iter().zip(&SPLINES) {
            for a in 0..ORDER {
                for b in 0..=a {
                    self.rows[k + a][a - b] += spline[a] * spline[b] * square;
                }
                self.rhs[k + a] += spline[a] * product;
            }
        }
    }

    /// `bᵀ A⁻¹ b` by elimination; coefficients without data count nothing.
    fn quadratic_form(&self) -> f64 {
        let n = self.rhs.len();
        // rows of L in A = L D Lᵀ, and D
        let (mut lower, mut pivots, mut y) = (self.rows.clone(), vec![0.0; n], self.rhs.clone());
        let mut total = 0.0;
        for i in 0..n {
            let mut diagonal = lower[i][0];
            for j in i.saturating_sub(ORDER - 1)..i {
                let before = |l: usize| lower[i][i - l] * pivots[l] * lower[j][j - l];
                let sum: f64 = (i.saturating_sub(ORDER - 1)..j).map(before).sum();
                let value = if pivots[j] > 0.0 { (lower[i][i - j] - sum) / pivots[j] } else { 0.0 };
                lower[i][i - j] = value;
                diagonal -= value * value * pivots[j];
                y[i] -= value * y[j];
            }
            // a coefficient that its neighbours determine already (or without data) has nothing left to fit
            if diagonal > 1e-12 * self.rows[i][0] {
                pivots[i] = diagonal;
                total += y[i] * y[i] / diagonal;
            }
        }
        total
    }
}
