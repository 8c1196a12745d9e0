//! The shape of one spot: a Gaussian core times Hermite polynomials, integrated over pixels, plus a tail.
//!
//! `core(ix, iy) = Σ_ij c_ij I_i(ix) J_j(iy)`, where `I_i` is the integral of `He_i(t) g(t)` over the pixel,
//! `t = (x - x0)/σx`, and `He` are the probabilists' Hermite polynomials (formats: Gauss-Hermite PSF).

use numerics::hermite;

/// Parameters of one spot's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussHermite {
    /// Gaussian widths in x and y, pixels.
    pub sigma: (f64, f64),
    /// Highest orders in x and y.
    pub degree: (usize, usize),
    /// `coeff[j * (degree.0 + 1) + i]` is GH-i-j.
    pub coeff: Vec<f64>,
    /// Power-law tail, if any.
    pub tail: Option<Tail>,
}

/// The tail `amplitude · r² / (core² + r²)^(1 + index/2)` with `r² = (dx·xscale)² + (dy·yscale)²`, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// TAILAMP.
    pub amplitude: f64,
    /// TAILCORE, pixels.
    pub core: f64,
    /// TAILXSCA.
    pub xscale: f64,
    /// TAILYSCA.
    pub yscale: f64,
    /// TAILINDE.
    pub index: f64,
}

impl Tail {
    /// The tail of `amplitude` with the file format's neutral core, scales and index.
    pub fn neutral(amplitude: f64) -> Self {
        Self { amplitude, core: 1.0, xscale: 1.0, yscale: 1.0, index: 2.0 }
    }

    /// Value at an offset from the spot's centre, pixels.
    pub fn value(&self, dx: f64, dy: f64) -> f64 {
        let r2 = (dx * self.xscale).powi(2) + (dy * self.yscale).powi(2);
        self.amplitude * r2 / (self.core * self.core + r2).powf(1.0 + 0.5 * self.index)
    }
}

/// Integrals of `He_k g` over `n` pixels from `first` on, for a spot at `centre`: `out[k * n + pixel]`.
pub(crate) fn pixel_integrals(centre: f64, sigma: f64, first: i64, n: usize, orders: usize, out: &mut Vec<f64>) {
    const MAX_ORDERS: usize = 16;
    debug_assert!(orders <= MAX_ORDERS);
    out.clear();
    out.resize(orders * n, 0.0);
    let (mut low, mut high) = ([0.0; MAX_ORDERS], [0.0; MAX_ORDERS]);
    let edge = |p: usize| (first as f64 + p as f64 - 0.5 - centre) / sigma;
    hermite::antiderivatives(edge(0), &mut low[..orders]);
    for p in 0..n {
        hermite::antiderivatives(edge(p + 1), &mut high[..orders]);
        for k in 0..orders {
            out[k * n + p] = high[k] - low[k];
        }
        low = high;
    }
}

impl GaussHermite {
    /// Light in each pixel of the box `[y0, y0 + ny) x [x0, x0 + nx)` of a spot of unit flux centred on
    /// `(x, y)`; row-major `[ny, nx]`, neither clipped nor normalised.
    pub fn integrate(&self, (x, y): (f64, f64), (x0, y0): (i64, i64), (nx, ny): (usize, usize)) -> Vec<f64> {
        let (mut fx, mut fy) = (Vec::new(), Vec::new());
        let (mx, my) = (self.degree.0 + 1, self.degree.1 + 1);
        pixel_integrals(x, self.sigma.0, x0, nx, mx, &mut fx);
        pixel_integrals(y, self.sigma.1, y0, ny, my, &mut fy);
        let mut out = vec![0.0; nx * ny];
        let mut across = vec![0.0; nx];
        for j in 0..my {
            across.fill(0.0);
            for i in 0..mx {
                let c = self.coeff[j * mx + i];
                if c != 0.0 {
                    across.iter_mut().zip(&fx[i * nx..(i + 1) * nx]).for_each(|(a, f)| *a += c * f);
                }
            }
            for (row, f) in out.chunks_exact_mut(nx).zip(&fy[j * ny..(j + 1) * ny]) {
                row.iter_mut().zip(&across).for_each(|(o, a)| *o += f * a);
            }
        }
        if let Some(tail) = self.tail {
            for (iy, row) in out.chunks_exact_mut(nx).enumerate() {
                for (ix, o) in row.iter_mut().enumerate() {
                    *o += tail.value((x0 + ix as i64) as f64 - x, (y0 + iy as i64) as f64 - y);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_gaussian_integrates_to_its_closed_form() {
        let shape = GaussHermite { sigma: (1.1, 1.3), degree: (0, 0), coeff: vec![1.0], tail: None };
        let v = shape.integrate((10.2, 20.7), (5, 15), (11, 12));
        let phi = |t: f64| 0.5 * (1.0 + libm::erf(t / std::f64::consts::SQRT_2));
        let px = phi((10.5 - 10.2) / 1.1) - phi((9.5 - 10.2) / 1.1);
        let py = phi((21.5 - 20.7) / 1.3) - phi((20.5 - 20.7) / 1.3);
        assert!((v[(21 - 15) * 11 + 5] - px * py).abs() < 1e-15);
        assert!((v.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn hermite_terms_shift_and_carry_no_flux() {
        // to first order GH-1-0 = δ moves the spot by δσ
        let coeff = vec![1.0, 0.01];
        let shape = GaussHermite { sigma: (1.2, 1.0), degree: (1, 0), coeff, tail: None };
        let v = shape.integrate((0.0, 0.0), (-9, -9), (19, 19));
        let mean: f64 = (0..19 * 19).map(|p| v[p] * ((p % 19) as f64 - 9.0)).sum();
        assert!((v.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((mean - 0.012).abs() < 1e-9);
    }
}
