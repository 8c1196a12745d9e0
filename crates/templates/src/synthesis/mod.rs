//! Spectra of stars and of stellar populations from textbook physics: a grey atmosphere in local
//! thermodynamic equilibrium, hydrogen and H- opacity, metal lines scaled from their strength in the Sun.
//!
//! Wavelengths are vacuum Angstrom, everything else is cgs.

pub mod atmosphere;
pub mod bands;
pub mod exponential;
pub mod fraunhofer;
pub mod hydrogen;
pub mod lines;
pub mod population;
pub mod spectrum;

/// Boltzmann's constant, erg/K (SI).
pub(crate) const BOLTZMANN: f64 = 1.380649e-16;
/// hc/k in Angstrom K (SI).
pub(crate) const HC_OVER_K: f64 = 1.438776877e8;

/// Planck function per unit wavelength, arbitrary units, at a wavelength in Angstrom.
pub(crate) fn planck(wave: f64, temperature: f64) -> f64 {
    1e20 / wave.powi(5) / libm::expm1(HC_OVER_K / (wave * temperature))
}

/// Vacuum wavelength of an air wavelength in Angstrom (Morton 2000, ApJS 130, 403, after Ciddor 1996; inverse by one
/// iteration, good to 1e-4 A); below 2000 A wavelengths are quoted in vacuum.
pub(crate) fn vacuum(air: f64) -> f64 {
    if air < 2000.0 {
        return air;
    }
    let s = (1e4 / (air * 1.00029)).powi(2);
    air * (1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - s) + 1.5998e-4 / (38.9 - s))
}

/// Logarithmic wavelengths from `first` to at least `last` in steps of `dex`.
pub(crate) fn log_grid(first: f64, last: f64, dex: f64) -> Vec<f64> {
    let n = (libm::log10(last / first) / dex).ceil() as usize + 1;
    (0..n).map(|i| first * libm::exp(std::f64::consts::LN_10 * dex * i as f64)).collect()
}

/// Convolution with a Gaussian of `sigma` pixels; the ends are extended by their last value.
pub(crate) fn smooth(y: &[f64], sigma: f64) -> Vec<f64> {
    let half = (4.0 * sigma).ceil() as isize;
    let kernel: Vec<f64> = (-half..=half).map(|k| libm::exp(-0.5 * (k as f64 / sigma).powi(2))).collect();
    let sum: f64 = kernel.iter().sum();
    let last = y.len() as isize - 1;
    let padded: Vec<f64> = (-half..=last + half).map(|i| y[i.clamp(0, last) as usize]).collect();
    padded.windows(kernel.len()).map(|w| w.iter().zip(&kernel).map(|(a, b)| a * b).sum::<f64>() / sum).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn air_wavelengths_become_vacuum() {
        // H alpha: 6562.79 in air, 6564.60 in vacuum (NIST)
        assert!((super::vacuum(6562.79) - 6564.60).abs() < 0.01);
        assert!((super::vacuum(3933.66) - 3934.78).abs() < 0.01);
    }
}
