//! The shape of one spot: a Gaussian core times Hermite polynomials, integrated over pixels, plus a tail.
//!
//! `core(ix, iy) = Σ_ij c_ij I_i(ix) J_j(iy)`, where `I_i` is the integral of `He_i(t) g(t)` over the pixel,
//! `t = (x - x0)/σx`, and `He` are the probabilists' Hermite polynomials (formats: Gauss-Hermite PSF).

use numerics::{dispatch, hermite::pixel_integrals};

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

/// Values side by side: rows of pixels are padded to a multiple of them.
const LANES: usize = 8;

/// Buffers that are kept between spots.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// Integrals across and along the spot, `[order, pixel]`, those across padded.
    fx: Vec<f64>,
    fy: Vec<f64>,
    /// `Σ_i c_ij I_i` for each `j`, `[order, padded pixel]`.
    across: Vec<f64>,
}

impl GaussHermite {
    /// Light in each pixel of the box `[y0, y0 + ny) x [x0, x0 + nx)` of a spot of unit flux centred on
    /// `(x, y)`; row-major `[ny, nx]`, neither clipped nor normalised.
    pub fn integrate(&self, (x, y): (f64, f64), (x0, y0): (i64, i64), (nx, ny): (usize, usize)) -> Vec<f64> {
        let mut out = vec![0.0; nx * ny];
        self.integrate_into((x, y), (x0, y0), nx, &mut Scratch::default(), &mut out);
        out
    }

    /// [`GaussHermite::integrate`] into rows of `nx` pixels.
    pub fn integrate_into(
        &self,
        (x, y): (f64, f64),
        (x0, y0): (i64, i64),
        nx: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) {
        let (mx, my) = (self.degree.0 + 1, self.degree.1 + 1);
        let (padded, ny) = (nx.next_multiple_of(LANES), out.len() / nx.max(1));
        pixel_integrals(x, self.sigma.0, x0, padded, mx, &mut scratch.fx);
        pixel_integrals(y, self.sigma.1, y0, ny, my, &mut scratch.fy);
        core(&self.coeff, scratch, padded, nx, out);
        if let Some(tail) = self.tail {
            for (iy, row) in out.chunks_exact_mut(nx).enumerate() {
                for (ix, o) in row.iter_mut().enumerate() {
                    *o += tail.value((x0 + ix as i64) as f64 - x, (y0 + iy as i64) as f64 - y);
                }
            }
        }
    }
}

dispatch!(
    fn core(coeff: &[f64], scratch: &mut Scratch, padded: usize, nx: usize, out: &mut [f64]) -> () = sum | sum
);

/// `out = Σ_j J_j Σ_i c_ij I_i`.
#[inline(always)]
fn sum(coeff: &[f64], scratch: &mut Scratch, padded: usize, nx: usize, out: &mut [f64]) {
    let Scratch { fx, fy, across } = scratch;
    let (mx, ny) = (fx.len() / padded, out.len() / nx);
    across.clear();
    across.resize(coeff.len() / mx * padded, 0.0);
    for (coeff, across) in coeff.chunks_exact(mx).zip(across.chunks_exact_mut(padded)) {
        for (c, fx) in coeff.iter().zip(fx.chunks_exact(padded)) {
            if *c != 0.0 {
                for (a, f) in across.as_chunks_mut::<LANES>().0.iter_mut().zip(fx.as_chunks::<LANES>().0) {
                    for k in 0..LANES {
                        a[k] = c.mul_add(f[k], a[k]);
                    }
                }
            }
        }
    }
    for (iy, row) in out.chunks_exact_mut(nx).enumerate() {
        for (at, pixels) in row.chunks_mut(LANES).enumerate() {
            let mut sum = [0.0; LANES];
            for (along, across) in fy.chunks_exact(ny).zip(across.chunks_exact(padded)) {
                let across = &across.as_chunks::<LANES>().0[at];
                for k in 0..LANES {
                    sum[k] = along[iy].mul_add(across[k], sum[k]);
                }
            }
            pixels.copy_from_slice(&sum[..pixels.len()]);
        }
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
