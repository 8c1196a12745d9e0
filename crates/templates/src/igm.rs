//! Mean transmission of the intergalactic medium.

use crate::{Igm, inoue};

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
    series(igm, z, observed_wave) * continuum(igm, z, observed_wave)
}

/// That of the Lyman lines: between two lines at rest it depends on the observed wavelength alone.
pub fn series(igm: Igm, z: f64, observed_wave: f64) -> f64 {
    let transitions: &[Transition] = match igm {
        Igm::None => &[],
        Igm::Calura12 => &CALURA12,
        Igm::Kamble20 => &KAMBLE20,
        Igm::Inoue14 => return libm::exp(-inoue::series_depth(z, observed_wave)),
    };
    let tau: f64 = transitions
        .iter()
        .filter(|(rest, _, _)| observed_wave < rest * (1.0 + z))
        .map(|(rest, depth, power)| depth * libm::pow(observed_wave / rest, *power))
        .sum();
    libm::exp(-tau)
}

/// That of the Lyman continuum, of the models that have one.
pub fn continuum(igm: Igm, z: f64, observed_wave: f64) -> f64 {
    match igm {
        Igm::Inoue14 => libm::exp(-inoue::continuum_depth(z, observed_wave)),
        Igm::None | Igm::Calura12 | Igm::Kamble20 => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forest_begins_at_lyman_alpha_and_deepens_with_redshift() {
        for igm in [Igm::Calura12, Igm::Kamble20, Igm::Inoue14] {
            assert_eq!(transmission(igm, 2.5, 1216.0 * 3.5), 1.0);
            assert!(transmission(igm, 3.5, 1200.0 * 4.5) < transmission(igm, 2.5, 1200.0 * 3.5));
        }
        // tau of Lyman alpha at z = 3: 0.00554 x 4^3.182 (Kamble et al. 2020, equation 5)
        let t = transmission(Igm::Kamble20, 3.1, 1215.67 * 4.0);
        assert!((t - (-0.00554 * 4f64.powf(3.182)).exp()).abs() < 1e-12, "{t}");
        assert_eq!(transmission(Igm::None, 5.0, 4000.0), 1.0);
    }

    /// Redrock 0.22's numbers, in every branch of the model that a spectrograph from 1900 Angstrom on can see.
    #[test]
    fn inoue_agrees_with_redrock() {
        let expected: [(f64, &[(f64, f64)]); 4] = [
            (2.0, &[(3640.0, 0.871445529), (3000.0, 0.9016371778), (2600.0, 0.698931052)]),
            (
                3.5,
                &[
                    (5400.0, 0.5539941141),
                    (4600.0, 0.6066377243),
                    (4350.0, 0.6121235759),
                    (4120.0, 0.5452537531),
                    (4000.0, 0.3359301441),
                    (2500.0, 0.03980287286),
                ],
            ),
            (
                4.9,
                &[
                    (7100.0, 0.1834434839),
                    (5800.0, 0.3085912666),
                    (5450.0, 0.2280593717),
                    (5300.0, 0.08360090595),
                    (4000.0, 5.363790139e-4),
                    (1900.0, 2.026790406e-3),
                ],
            ),
            (
                5.5,
                &[
                    (7800.0, 0.05839063481),
                    (6600.0, 0.1286582469),
                    (5950.0, 0.0815948042),
                    (5700.0, 6.537682552e-3),
                    (3000.0, 3.128743871e-5),
                    (1950.0, 3.055960182e-4),
                ],
            ),
        ];
        for (z, values) in expected {
            for &(wave, t) in values {
                let found = transmission(Igm::Inoue14, z, wave);
                assert!((found / t - 1.0).abs() < 1e-8, "z {z}, {wave} A: {found}, not {t}");
            }
        }
    }
}
