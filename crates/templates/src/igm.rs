//! Mean transmission of the intergalactic medium.

use crate::Igm;

/// A Lyman transition: rest wavelength in Angstrom, optical depth at observed = rest wavelength, power of
/// observed / rest.
type Transition = (f64, f64, f64);

/// Calura et al. 2012 (MNRAS 422, 3019): Lyman alpha and the next four lines, whose depths are that of
/// alpha divided by the ratio of the products of oscillator strength and wavelength.
const CALURA12: [Transition; 5] = [
    (1215.67, 0.0023, 3.64),
    (1025.72, 0.0023 / 5.2615, 3.64),
    (972.537, 0.0023 / 14.356, 3.64),
    (949.7431, 0.0023 / 29.85984, 3.64),
    (937.8035, 0.0023 / 53.36202, 3.64),
];

/// Kamble et al. 2020 (ApJ 892, 70): Lyman alpha only.
const KAMBLE20: [Transition; 1] = [(1215.67, 0.00554, 3.182)];

/// Mean transmission at an observed vacuum wavelength (Angstrom) towards a source at redshift `z`; 1 redward
/// of the source's Lyman alpha.
pub fn transmission(igm: Igm, z: f64, observed_wave: f64) -> f64 {
    let transitions: &[Transition] = match igm {
        Igm::None => &[],
        Igm::Calura12 => &CALURA12,
        Igm::Kamble20 => &KAMBLE20,
    };
    let tau: f64 = transitions
        .iter()
        .filter(|(rest, _, _)| observed_wave < rest * (1.0 + z))
        .map(|(rest, depth, power)| depth * libm::pow(observed_wave / rest, *power))
        .sum();
    libm::exp(-tau)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forest_begins_at_lyman_alpha_and_deepens_with_redshift() {
        for igm in [Igm::Calura12, Igm::Kamble20] {
            assert_eq!(transmission(igm, 2.5, 1216.0 * 3.5), 1.0);
            assert!(transmission(igm, 3.5, 1200.0 * 4.5) < transmission(igm, 2.5, 1200.0 * 3.5));
        }
        // tau of Lyman alpha at z = 3: 0.00554 x 4^3.182 (Kamble et al. 2020, equation 5)
        let t = transmission(Igm::Kamble20, 3.1, 1215.67 * 4.0);
        assert!((t - (-0.00554 * 4f64.powf(3.182)).exp()).abs() < 1e-12, "{t}");
        assert_eq!(transmission(Igm::None, 5.0, 4000.0), 1.0);
    }
}
