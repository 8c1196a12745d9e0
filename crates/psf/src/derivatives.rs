//! A spot and its derivatives, for fits.

use crate::{GaussHermite, Tail};
use numerics::hermite::pixel_integrals;

/// A spot of unit flux and its derivatives over a box of pixels: [`Derivatives::row`] gives each as `[ny, nx]`,
/// row-major. Buffers are kept between calls.
#[derive(Debug, Clone, Default)]
pub struct Derivatives {
    npix: usize,
    rows: Vec<f64>,
    fx: Vec<f64>,
    fy: Vec<f64>,
    across: Vec<f64>,
}

/// Index of the row that holds the spot itself.
pub const VALUE: usize = 0;
/// Derivative with respect to the centre's x.
pub const X: usize = 1;
/// Derivative with respect to the centre's y.
pub const Y: usize = 2;
/// Derivative with respect to the width in x.
pub const SIGMA_X: usize = 3;
/// Derivative with respect to the width in y.
pub const SIGMA_Y: usize = 4;
/// The derivative with respect to GH-i-j is row `HERMITE + j * (degree_x + 1) + i`; that with respect to the tail's
/// amplitude, where the shape has a tail, is the row after them.
pub const HERMITE: usize = 5;

impl Derivatives {
    /// One row, `[ny, nx]`.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.rows[index * self.npix..(index + 1) * self.npix]
    }

    /// Evaluates `shape` centred on `(x, y)` over the box of `(nx, ny)` pixels from `(x0, y0)`. The derivatives with
    /// respect to the centre are those of the core: a tail hardly changes with it.
    ///
    /// With `I_k` the integral of `He_k g` over a pixel, `dI_k/dx = I_{k+1}/σ` and
    /// `dI_k/dσ = (I_{k+2} + k I_k)/σ`, from `d/dt (He_k g) = -He_{k+1} g` and `t He_k = He_{k+1} + k He_{k-1}`.
    pub fn evaluate(
        &mut self,
        shape: &GaussHermite,
        (x, y): (f64, f64),
        (x0, y0): (i64, i64),
        (nx, ny): (usize, usize),
    ) {
        let (mx, my) = (shape.degree.0 + 1, shape.degree.1 + 1);
        let (sx, sy) = shape.sigma;
        self.npix = nx * ny;
        self.rows.clear();
        self.rows.resize((HERMITE + mx * my + usize::from(shape.tail.is_some())) * self.npix, 0.0);
        pixel_integrals(x, sx, x0, nx, mx + 2, &mut self.fx);
        pixel_integrals(y, sy, y0, ny, my + 2, &mut self.fy);
        for j in 0..my {
            self.sum_across(&shape.coeff[j * mx..(j + 1) * mx], sx, nx);
            for row in 0..ny {
                let at = |k: usize| self.fy[k * ny + row];
                let (f, df, ds) = (at(j), at(j + 1) / sy, (at(j + 2) + j as f64 * at(j)) / sy);
                let (value, rest) = self.across.split_at(nx);
                let (dx, dsx) = rest.split_at(nx);
                for (index, factor, source) in
                    [(VALUE, f, value), (X, f, dx), (Y, df, value), (SIGMA_X, f, dsx), (SIGMA_Y, ds, value)]
                {
                    let start = index * self.npix + row * nx;
                    self.rows[start..start + nx].iter_mut().zip(source).for_each(|(o, s)| *o += factor * s);
                }
                for i in 0..mx {
                    let start = (HERMITE + j * mx + i) * self.npix + row * nx;
                    let source = &self.fx[i * nx..(i + 1) * nx];
                    self.rows[start..start + nx].iter_mut().zip(source).for_each(|(o, s)| *o = f * s);
                }
            }
        }
        if let Some(tail) = shape.tail {
            let unit = Tail { amplitude: 1.0, ..tail };
            let start = (HERMITE + mx * my) * self.npix;
            for p in 0..self.npix {
                let (dx, dy) = ((x0 + (p % nx) as i64) as f64 - x, (y0 + (p / nx) as i64) as f64 - y);
                self.rows[start + p] = unit.value(dx, dy);
                self.rows[VALUE * self.npix + p] += tail.amplitude * self.rows[start + p];
            }
        }
    }

    /// `Σ_i c_i I_i` over the columns, and its derivatives with respect to x and its width.
    fn sum_across(&mut self, coeff: &[f64], sigma: f64, nx: usize) {
        self.across.clear();
        self.across.resize(3 * nx, 0.0);
        for (i, c) in coeff.iter().enumerate().filter(|(_, c)| **c != 0.0) {
            for column in 0..nx {
                let at = |k: usize| self.fx[k * nx + column];
                self.across[column] += c * at(i);
                self.across[nx + column] += c * at(i + 1) / sigma;
                self.across[2 * nx + column] += c * (at(i + 2) + i as f64 * at(i)) / sigma;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let mut coeff = vec![0.0; 49];
        coeff[0] = 1.0;
        (1..49).for_each(|k| coeff[k] = 0.02 * ((k * 37 % 11) as f64 / 5.0 - 1.0));
        let shape = GaussHermite { sigma: (1.1, 1.25), degree: (6, 6), coeff, tail: None };
        let (at, corner, size) = ((10.3, 20.8), (4, 15), (13, 11));
        let mut got = Derivatives::default();
        got.evaluate(&shape, at, corner, size);
        let value = |s: &GaussHermite, at: (f64, f64)| s.integrate(at, corner, size);
        let same = |row: usize, high: Vec<f64>, low: Vec<f64>, h: f64| {
            let worst =
                (0..13 * 11).map(|p| (got.row(row)[p] - (high[p] - low[p]) / (2.0 * h)).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-8, "row {row}: {worst:e}");
        };
        let h = 1e-5;
        assert!(got.row(VALUE).iter().zip(value(&shape, at)).all(|(a, b)| (a - b).abs() < 1e-15));
        same(X, value(&shape, (at.0 + h, at.1)), value(&shape, (at.0 - h, at.1)), h);
        same(Y, value(&shape, (at.0, at.1 + h)), value(&shape, (at.0, at.1 - h)), h);
        let wide = |dx: f64, dy: f64| GaussHermite { sigma: (1.1 + dx, 1.25 + dy), ..shape.clone() };
        same(SIGMA_X, value(&wide(h, 0.0), at), value(&wide(-h, 0.0), at), h);
        same(SIGMA_Y, value(&wide(0.0, h), at), value(&wide(0.0, -h), at), h);
        for k in 0..49 {
            let changed = |d: f64| {
                let mut s = shape.clone();
                s.coeff[k] += d;
                s
            };
            same(HERMITE + k, value(&changed(h), at), value(&changed(-h), at), h);
        }
        let tailed = |amplitude| GaussHermite { tail: Some(Tail::neutral(amplitude)), ..shape.clone() };
        got.evaluate(&tailed(0.01), at, corner, size);
        assert!(got.row(VALUE).iter().zip(value(&tailed(0.01), at)).all(|(a, b)| (a - b).abs() < 1e-15));
        let worst = (0..13 * 11)
            .map(|p| got.row(HERMITE + 49)[p] - (value(&tailed(1.01), at)[p] - value(&tailed(0.01), at)[p]))
            .fold(0.0f64, |a, d| a.max(d.abs()));
        assert!(worst < 1e-12, "tail: {worst:e}");
    }
}
