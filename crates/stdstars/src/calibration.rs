//! The comparison of a star's spectrum with models: least squares over a free smooth calibration.
//!
//! `data = c(λ) · model` with `c` piecewise linear between knots. For each model `c` is solved (a tridiagonal
//! system) and the chi2 that is left is returned, so that nothing but lines narrower than the knots counts.

/// Spacing of the knots in bins: wider than a line, narrower than what a calibration does.
pub const KNOT_SPACING: usize = 200;

/// Bins that are summed side by side: fixed, so that every host gives the same bits.
const LANES: usize = 8;

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
        let intervals = projected.len().div_ceil(KNOT_SPACING);
        let mut system = Tridiagonal::new(intervals + 1);
        let pieces = projected.chunks(KNOT_SPACING);
        let data = self.values.chunks(KNOT_SPACING).zip(self.signal.chunks(KNOT_SPACING));
        for (k, (m, (w, s))) in pieces.zip(data).enumerate() {
            let [square, square_u, square_uu, product, product_u] = moments(m, w, s);
            let block = [square - 2.0 * square_u + square_uu, square_u - square_uu, square_uu];
            system.add(k, block, [product - product_u, product_u]);
        }
        self.total - system.quadratic_form()
    }
}

numerics::dispatch! {
    /// Sums over the bins between two knots of `w m²` times 1, u and u², and of `s m` times 1 and u; u is the place
    /// between the knots, 0 to 1.
    fn moments(m: &[f64], w: &[f64], s: &[f64]) -> [f64; 5] = sums | sums
}

#[inline(always)]
fn sums(m: &[f64], w: &[f64], s: &[f64]) -> [f64; 5] {
    let mut lanes = [[0.0f64; LANES]; 5];
    let mut places = [0.0f64; LANES];
    for (lane, u) in places.iter_mut().enumerate() {
        *u = lane as f64 / KNOT_SPACING as f64;
    }
    let (wide, rest) = m.as_chunks::<LANES>();
    let (w_wide, w_rest) = w.as_chunks::<LANES>();
    let (s_wide, s_rest) = s.as_chunks::<LANES>();
    for ((m, w), s) in wide.iter().zip(w_wide).zip(s_wide) {
        add(&mut lanes, &mut places, m, w, s);
    }
    if !rest.is_empty() {
        let padded = |values: &[f64]| {
            let mut all = [0.0; LANES];
            all[..values.len()].copy_from_slice(values);
            all
        };
        add(&mut lanes, &mut places, &padded(rest), &padded(w_rest), &padded(s_rest));
    }
    let mut sums = [0.0; 5];
    for (sum, lanes) in sums.iter_mut().zip(&lanes) {
        for lane in lanes {
            *sum += lane;
        }
    }
    sums
}

#[inline(always)]
fn add(sums: &mut [[f64; LANES]; 5], places: &mut [f64; LANES], m: &[f64; LANES], w: &[f64; LANES], s: &[f64; LANES]) {
    for lane in 0..LANES {
        let (u, product) = (places[lane], s[lane] * m[lane]);
        let square = w[lane] * m[lane] * m[lane];
        sums[0][lane] += square;
        sums[1][lane] = square.mul_add(u, sums[1][lane]);
        sums[2][lane] = (square * u).mul_add(u, sums[2][lane]);
        sums[3][lane] += product;
        sums[4][lane] = product.mul_add(u, sums[4][lane]);
        places[lane] = u + LANES as f64 / KNOT_SPACING as f64;
    }
}

/// A symmetric tridiagonal system.
struct Tridiagonal {
    diagonal: Vec<f64>,
    off: Vec<f64>,
    rhs: Vec<f64>,
}

impl Tridiagonal {
    fn new(n: usize) -> Self {
        Self { diagonal: vec![0.0; n], off: vec![0.0; n], rhs: vec![0.0; n] }
    }

    /// Adds the 2x2 block at rows `k`, `k + 1`.
    fn add(&mut self, k: usize, block: [f64; 3], rhs: [f64; 2]) {
        self.diagonal[k] += block[0];
        self.off[k] += block[1];
        self.diagonal[k + 1] += block[2];
        self.rhs[k] += rhs[0];
        self.rhs[k + 1] += rhs[1];
    }

    /// `bᵀ A⁻¹ b` by elimination; rows without data count nothing.
    fn quadratic_form(&self) -> f64 {
        let (mut total, mut d_before, mut y_before) = (0.0, 0.0, 0.0);
        for k in 0..self.rhs.len() {
            let off = if k > 0 { self.off[k - 1] } else { 0.0 };
            let factor = if d_before > 0.0 { off / d_before } else { 0.0 };
            let d = self.diagonal[k] - factor * off;
            let y = self.rhs[k] - factor * y_before;
            // a knot that its neighbour determines already (or without data) has nothing left to fit
            let pivot = d > 1e-12 * self.diagonal[k];
            total += if pivot { y * y / d } else { 0.0 };
            (d_before, y_before) = if pivot { (d, y) } else { (0.0, 0.0) };
        }
        total
    }
}
