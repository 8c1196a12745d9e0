//! Extinction by the dust of the Milky Way.

use crate::synthesis::exponential::exp_all;

/// Ratio of total to selective extinction of the diffuse medium.
const R_V: f64 = 3.1;

/// A(lambda) / A(V) for R_V = 3.1 at a vacuum wavelength in Angstrom: Cardelli, Clayton & Mathis 1989
/// (ApJ 345, 245) with the optical polynomials of O'Donnell 1994 (ApJ 422, 158). Wavelengths outside
/// 1000-33000 A are clamped to that range.
pub fn extinction(wave: f64) -> f64 {
    let x = (1e4 / wave).clamp(0.3, 10.0); // wave number in 1/micron, the variable of both papers
    let (a, b) = if x < 1.1 {
        (0.574 * libm::pow(x, 1.61), -0.527 * libm::pow(x, 1.61))
    } else if x < 3.3 {
        let y = x - 1.82;
        (
            series(y, &[1.0, 0.104, -0.609, 0.701, 1.137, -1.718, -0.827, 1.647, -0.505]),
            series(y, &[0.0, 1.952, 2.908, -3.989, -7.985, 11.102, 5.491, -10.805, 3.347]),
        )
    } else if x < 8.0 {
        let y = (x - 5.9).max(0.0);
        (
            1.752 - 0.316 * x - 0.104 / ((x - 4.67).powi(2) + 0.341) + series(y, &[0.0, 0.0, -0.04473, -0.009779]),
            -3.090 + 1.825 * x + 1.206 / ((x - 4.62).powi(2) + 0.263) + series(y, &[0.0, 0.0, 0.2130, 0.1207]),
        )
    } else {
        (series(x - 8.0, &[-1.073, -0.628, 0.137, -0.070]), series(x - 8.0, &[13.670, 4.257, -0.420, 0.374]))
    };
    a + b / R_V
}

/// Fraction of the light that passes dust of colour excess `ebv` (mag) at a vacuum wavelength in Angstrom.
pub fn transmission(ebv: f64, wave: f64) -> f64 {
    libm::exp(ebv * ln_transmission(wave))
}

/// The logarithm of it for a colour excess of 1 mag.
pub fn ln_transmission(wave: f64) -> f64 {
    -0.4 * std::f64::consts::LN_10 * R_V * extinction(wave)
}

/// Puts dust of colour excess `ebv` (mag) before a spectrum; `ln_transmission` is that of 1 mag at each wavelength.
pub fn redden(spectrum: &mut [f64], ebv: f64, ln_transmission: &[f64]) {
    let mut factors: Vec<f64> = ln_transmission.iter().map(|t| ebv * t).collect();
    exp_all(&mut factors);
    spectrum.iter_mut().zip(&factors).for_each(|(s, f)| *s *= f);
}

fn series(y: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * y + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_table() {
        // Cardelli, Clayton & Mathis 1989, table 3 (U, B, V, R, I, J at their wave numbers, R_V = 3.1)
        for (x, expected) in [(2.78, 1.569), (2.27, 1.337), (1.82, 1.0), (1.43, 0.751), (1.11, 0.479), (0.80, 0.282)] {
            let got = extinction(1e4 / x);
            assert!((got - expected).abs() < 0.03, "x {x}: {got} {expected}");
        }
        assert!((transmission(0.1, 5494.5) - 10f64.powf(-0.4 * 0.31)).abs() < 1e-3);
    }

    #[test]
    fn is_continuous_where_the_formulas_meet() {
        for x in [1.1, 3.3, 8.0] {
            let step = extinction(1e4 / (x - 1e-6)) - extinction(1e4 / (x + 1e-6));
            assert!(step.abs() < 0.02, "{x}: {step}");
        }
    }
}
