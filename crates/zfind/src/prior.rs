//! Prior knowledge of a target's redshift, as an addition to chi2.

/// Its form; `z` and `sigma` are the centre and the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `((z - z0) / sigma)^2`.
    Gaussian,
    /// `2 ln(1 + ((z - z0) / sigma)^2)`.
    Lorentzian,
    /// 0 within `sigma / 2` of the centre, infinite outside.
    Tophat,
}

/// The prior of one target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Its form.
    pub shape: Shape,
    /// Its centre.
    pub z: f64,
    /// Its width, positive.
    pub sigma: f64,
}

impl Prior {
    /// What it adds to chi2 at a redshift.
    pub fn chi2(&self, z: f64) -> f64 {
        let x = (z - self.z) / self.sigma;
        match self.shape {
            Shape::Gaussian => x * x,
            Shape::Lorentzian => 2.0 * (x * x).ln_1p(),
            Shape::Tophat => {
                if x.abs() < 0.5 {
                    0.0
                } else {
                    f64::INFINITY
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_are_zero_at_the_centre_and_grow() {
        for shape in [Shape::Gaussian, Shape::Lorentzian, Shape::Tophat] {
            let p = Prior { shape, z: 1.0, sigma: 0.1 };
            assert_eq!(p.chi2(1.0), 0.0);
            assert!(p.chi2(1.2) > 3.0);
        }
        let x: f64 = Prior { shape: Shape::Lorentzian, z: 1.0, sigma: 0.1 }.chi2(1.2);
        assert!((x - 2.0 * 5f64.ln()).abs() < 1e-12);
    }
}
