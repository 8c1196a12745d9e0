//! Prior knowledge of a target's redshift, as an addition to chi2.

use datamodel::{Error, Result, fits::FitsReader};
use std::{collections::HashMap, path::Path};

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

/// HDU of a file of priors.
const HDU: &str = "PRIORS";

impl Shape {
    /// From its name in a file (redrock's spelling of the second, and the usual one).
    fn of(name: &str) -> Option<Self> {
        match name.trim() {
            "gaussian" => Some(Self::Gaussian),
            "lorentzien" | "lorentzian" => Some(Self::Lorentzian),
            "tophat" => Some(Self::Tophat),
            _ => None,
        }
    }
}

/// The priors of a file, by TARGETID: table PRIORS with TARGETID, FUNCTION, Z, SIGMA.
///
/// # Errors
/// No table or column of these names and kinds; a FUNCTION that is not known; Z or SIGMA that is no number, or SIGMA
/// that is not positive.
pub fn read(path: &Path) -> Result<HashMap<i64, Prior>> {
    let table = FitsReader::open(path)?.table(HDU)?;
    let invalid = |item: String, expected: &str, found: String| Error::Invalid {
        path: path.to_path_buf(),
        hdu: HDU.to_string(),
        item,
        expected: expected.to_string(),
        found,
    };
    let missing = |name: &str, kind: &str| invalid(format!("column {name}"), kind, "nothing, or another type".into());
    let ids = table.ints("TARGETID").ok_or_else(|| missing("TARGETID", "integers"))?;
    let z = table.floats("Z").ok_or_else(|| missing("Z", "numbers"))?;
    let sigma = table.floats("SIGMA").ok_or_else(|| missing("SIGMA", "numbers"))?;
    let names = table.strings("FUNCTION").ok_or_else(|| missing("FUNCTION", "names"))?;
    let prior = |i: usize| {
        let of = |name: &str| format!("{name} of target {}", ids[i]);
        let shape = Shape::of(&names[i])
            .ok_or_else(|| invalid(of("FUNCTION"), "gaussian, lorentzien or tophat", format!("'{}'", names[i])))?;
        if !(sigma[i] > 0.0 && sigma[i].is_finite() && z[i].is_finite()) {
            let found = format!("{} and {}", z[i], sigma[i]);
            return Err(invalid(of("Z and SIGMA"), "numbers, SIGMA positive", found));
        }
        Ok((ids[i], Prior { shape, z: z[i], sigma: sigma[i] }))
    };
    (0..ids.len()).map(prior).collect()
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
