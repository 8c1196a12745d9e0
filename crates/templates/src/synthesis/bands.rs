//! Molecular bands and the haze of weak lines, as smooth functions of wavelength.
//!
//! A molecule's column follows from its dissociation equilibrium; its bands have a sharp head and a tail that
//! falls off exponentially, away from the head. Heads from Pearse & Gaydon 1976 (The Identification of
//! Molecular Spectra), in air; the depths are estimates: CH agrees with Kurucz's models, TiO roughly with M dwarfs.

use super::atmosphere::{BOLTZMANN_EV, IRON, Star};
use super::lines::Scaling;
use super::vacuum;

/// A band: head in air Angstrom, scale of the tail in Angstrom (positive: degraded to the red), relative
/// optical depth at the head.
type Band = (f64, f64, f64);

/// A diatomic molecule.
struct Molecule {
    /// Energy of dissociation, eV (Huber & Herzberg 1979).
    dissociation: f64,
    /// Temperature of the line-forming layer, K, at which the bands have the depths of the table.
    reference: f64,
    /// Power of the abundance of metals that the column goes with.
    metals: f64,
    /// Largest column relative to the reference (another molecule, CO, binds what is left).
    limit: f64,
    bands: &'static [Band],
}

/// Temperature of the layer of the Sun where lines form, K.
const SUN: f64 = 5080.0;
/// Power of the column that the depth of a band goes with: its lines are saturated.
const GROWTH: f64 = 0.6;

const MOLECULES: [Molecule; 7] = [
    // CH: the G band, heads near 4315 with branches down to 4280
    Molecule {
        dissociation: 3.47,
        reference: SUN,
        metals: 1.0,
        limit: 3.0,
        bands: &[(4314.0, -16.0, 0.60), (4324.0, -8.0, 0.12), (3890.0, -12.0, 0.10), (3143.0, -20.0, 0.4)],
    },
    // CN violet: 3883 and 4216, 3590
    Molecule {
        dissociation: 7.75,
        reference: SUN,
        metals: 2.0,
        limit: 6.0,
        bands: &[
            (3883.4, -22.0, 0.22),
            (3871.4, -15.0, 0.10),
            (4216.0, -22.0, 0.05),
            (4197.2, -15.0, 0.03),
            (3590.4, -15.0, 0.10),
        ],
    },
    // NH and OH in the near ultraviolet
    Molecule {
        dissociation: 3.5,
        reference: SUN,
        metals: 1.0,
        limit: 4.0,
        bands: &[(3360.0, -25.0, 0.25), (3370.0, 15.0, 0.15), (3064.0, 60.0, 0.3)],
    },
    // MgH: 5211, 4845, 5621
    Molecule {
        dissociation: 1.34,
        reference: SUN,
        metals: 1.0,
        limit: 8.0,
        bands: &[(5211.1, -45.0, 0.015), (5190.0, -60.0, 0.01), (4844.9, -30.0, 0.01), (5621.4, -30.0, 0.008)],
    },
    // TiO: alpha, beta, gamma', gamma, epsilon, delta systems
    Molecule {
        dissociation: 6.87,
        reference: 3150.0,
        metals: 1.3,
        limit: 6.0,
        bands: &[
            (4584.0, 85.0, 0.20),
            (4626.0, 68.0, 0.15),
            (4761.0, 102.0, 0.40),
            (4804.0, 68.0, 0.15),
            (4954.6, 119.0, 0.60),
            (5166.8, 153.0, 0.60),
            (5240.0, 102.0, 0.20),
            (5448.2, 136.0, 0.50),
            (5497.0, 85.0, 0.15),
            (5597.7, 102.0, 0.25),
            (5661.6, 102.0, 0.20),
            (5759.0, 68.0, 0.20),
            (5847.6, 187.0, 0.60),
            (6158.5, 204.0, 0.55),
            (6187.0, 136.0, 0.15),
            (6651.3, 153.0, 0.40),
            (6681.0, 102.0, 0.15),
            (6714.0, 85.0, 0.10),
            (7054.2, 119.0, 0.60),
            (7087.6, 102.0, 0.35),
            (7125.6, 136.0, 0.30),
            (7589.3, 136.0, 0.30),
            (7666.0, 170.0, 0.35),
            (8205.8, 85.0, 0.10),
            (8432.3, 119.0, 0.35),
            (8442.3, 68.0, 0.15),
            (8859.6, 119.0, 0.25),
            (9209.0, 170.0, 0.12),
        ],
    },
    // VO, only in the coolest
    Molecule {
        dissociation: 6.5,
        reference: 2550.0,
        metals: 1.3,
        limit: 6.0,
        bands: &[
            (7334.0, 120.0, 0.35),
            (7851.0, 120.0, 0.40),
            (7939.0, 60.0, 0.20),
            (8521.0, 100.0, 0.25),
            (8624.0, 60.0, 0.15),
        ],
    },
    // CaH and CaOH
    Molecule {
        dissociation: 1.70,
        reference: 3050.0,
        metals: 1.0,
        limit: 4.0,
        bands: &[
            (6389.0, -35.0, 0.20),
            (6346.0, 30.0, 0.15),
            (6908.0, -110.0, 0.25),
            (6946.0, -40.0, 0.10),
            (5550.0, -40.0, 0.15),
        ],
    },
];

/// Fraction of the Sun's light that lines too weak for the list of strong ones take away: (Angstrom, fraction);
/// after the line-blocking coefficients of Allen 1973 (Astrophysical Quantities, section 82).
const HAZE: [(f64, f64); 24] = [
    (900.0, 0.85),
    (1500.0, 0.85),
    (2000.0, 0.70),
    (2400.0, 0.60),
    (2630.0, 0.50),
    (2680.0, 0.35),
    (2880.0, 0.30),
    (3050.0, 0.30),
    (3150.0, 0.22),
    (3300.0, 0.20),
    (3500.0, 0.22),
    (3650.0, 0.22),
    (3800.0, 0.20),
    (3900.0, 0.15),
    (4000.0, 0.12),
    (4200.0, 0.12),
    (4400.0, 0.09),
    (4600.0, 0.06),
    (5000.0, 0.055),
    (5300.0, 0.05),
    (5600.0, 0.025),
    (6500.0, 0.010),
    (7500.0, 0.004),
    (12000.0, 0.0),
];

/// Vacuum wavelengths of the heads of all bands.
pub(crate) fn heads() -> impl Iterator<Item = f64> {
    MOLECULES.iter().flat_map(|m| m.bands).map(|band| vacuum(band.0))
}

/// Transmission of bands and haze at ascending wavelengths.
pub(crate) fn transmission(scaling: &Scaling, wave: &[f64]) -> Vec<f64> {
    let Star { teff, feh: metallicity, .. } = *scaling.star();
    let iron = [0, 1].map(|stage| scaling.abundance(&IRON, stage) * scaling.excitation(2.5, 4300.0));
    let (x, y): (Vec<f64>, Vec<f64>) = HAZE.iter().copied().unzip();
    let mut tau = vec![0.0; wave.len()];
    for molecule in &MOLECULES {
        molecule.add(molecule.column(scaling, metallicity), wave, &mut tau);
    }
    wave.iter()
        .zip(&tau)
        .map(|(&w, tau)| {
            // neutral metals make three quarters of the haze in the blue, singly ionised ones most of it in the
            // ultraviolet
            let neutral = ((w - 2000.0) / 2500.0).clamp(0.2, 0.75);
            let column = neutral * iron[0] + (1.0 - neutral) * iron[1];
            Scaling::haze(numerics::interp::linear(w, &x, &y), column) * libm::exp(-tau - veil(w, teff))
        })
        .collect()
}

/// Optical depth of the opacity in the violet that our continuum and lines lack (bound-free absorption of metals, the
/// multitude of their lines): a power law in wavelength and temperature through the colours of Kurucz's model
/// atmospheres of 5000-7000 K.
fn veil(wave: f64, teff: f64) -> f64 {
    0.045 * (5800.0 / teff.max(4400.0)).powi(6) * ((5500.0 / wave.max(2500.0)).powi(4) - 1.0).max(0.0)
}

impl Molecule {
    /// Effective column relative to the reference: N(AB) ~ N(A) N(B) exp(D / kT) (Saha's equation for molecules,
    /// Tatum 1966) over the continuous opacity, which is compared with the Sun's.
    fn column(&self, scaling: &Scaling, metallicity: f64) -> f64 {
        let exponent = self.dissociation / BOLTZMANN_EV * (1.0 / scaling.gas().temperature - 1.0 / self.reference);
        let x =
            libm::pow(10.0, self.metals * metallicity) * libm::exp(exponent.min(50.0)) * scaling.pressure_per_opacity();
        libm::pow(x / (1.0 + x / self.limit), GROWTH)
    }

    /// Adds the optical depth of a column at ascending vacuum wavelengths.
    fn add(&self, column: f64, wave: &[f64], tau: &mut [f64]) {
        const HEAD: f64 = 2.0; // heads are 2 A sharp
        const NEGLIGIBLE: f64 = 1e-4;
        for &(head, tail, depth) in self.bands.iter().filter(|b| b.2 * column > NEGLIGIBLE) {
            let (centre, reach) = (vacuum(head), libm::log(depth * column / NEGLIGIBLE));
            let (before, after) = if tail > 0.0 { (HEAD, tail) } else { (-tail, HEAD) };
            let from = wave.partition_point(|w| *w < centre - reach * before);
            let to = wave.partition_point(|w| *w < centre + reach * after);
            for (t, w) in tau[from..to].iter_mut().zip(&wave[from..to]) {
                let x = if *w < centre { (w - centre) / before } else { (centre - w) / after };
                *t += depth * column * libm::exp(x);
            }
        }
    }
}
