//! Airglow lines: atoms and the Meinel bands of OH.
//!
//! Term values of OH X²Π by Hill & Van Vleck (1928, Phys. Rev. 32, 250) with a centrifugal term, intensities by
//! the Hönl-London factors of Π-Π transitions at one rotational temperature. The constants below are the
//! known ones (Coxon & Foster 1982, Can. J. Phys. 60, 41) adjusted to the lines of the night sky: they give the
//! positions of 210 lines of the UVES sky atlas (Hanuschik 2003, A&A 407, 1157) to 0.08 Angstrom rms. The
//! doubling of the lines by a few hundredths of an Angstrom is left out.

use crate::grid::WaveGrid;

/// Atomic lines: vacuum Angstrom, 1e-17 erg/s/cm2/arcsec2 (UVES sky atlas; mercury from the lamps of towns).
const ATOMS: [(f64, f64); 9] = [
    (4359.56, 1.0),
    (5199.3, 6.0),
    (5201.7, 3.5),
    (5462.27, 1.5),
    (5578.89, 225.0),
    (5891.58, 20.0),
    (5897.56, 12.0),
    (6302.05, 210.0),
    (6365.54, 72.0),
];

/// Constants of a vibrational level in 1/cm: term value, rotation, spin-orbit coupling.
struct Level {
    term: f64,
    rotation: f64,
    coupling: f64,
}

const fn level(term: f64, rotation: f64, coupling: f64) -> Level {
    Level { term, rotation, coupling }
}

/// v = 0 to 9.
const LEVELS: [Level; 10] = [
    level(0.0, 18.53318, -140.318),
    level(3569.636, 17.82471, -140.642),
    level(6973.691, 17.12447, -140.920),
    level(10214.037, 16.43144, -141.152),
    level(13291.808, 15.74270, -141.338),
    level(16207.091, 15.05273, -141.477),
    level(18958.769, 14.35600, -141.570),
    level(21544.195, 13.64470, -141.617),
    level(23958.984, 12.90984, -141.619),
    level(26196.141, 12.13976, -141.573),
];

/// Bands: upper and lower level, light in 1e-17 erg/s/cm2/arcsec2 of a line of unit factor from the lowest level.
const BANDS: [(usize, usize, f64); 16] = [
    (9, 2, 0.35),
    (7, 1, 0.5),
    (8, 2, 1.7),
    (5, 0, 0.8),
    (9, 3, 3.2),
    (6, 1, 4.0),
    (7, 2, 6.0),
    (8, 3, 16.0),
    (4, 0, 7.2),
    (9, 4, 20.0),
    (5, 1, 24.0),
    (6, 2, 42.0),
    (7, 3, 68.0),
    (8, 4, 93.0),
    (3, 0, 96.0),
    (9, 5, 113.0),
];

/// Rotational temperature, K.
const TEMPERATURE: f64 = 200.0;
/// Boltzmann's constant, 1/cm per K (CODATA 2018).
const BOLTZMANN: f64 = 0.695_034_8;
/// Highest rotational level.
const HIGHEST: u32 = 9;
/// Angstrom in a centimetre.
const CM: f64 = 1e8;

/// One of the two ladders of ²Π: the electron's angular momentum along the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ladder {
    /// 3/2, the lower one.
    ThreeHalves,
    /// 1/2.
    Half,
}

impl Ladder {
    fn omega(self) -> f64 {
        if self == Self::ThreeHalves { 1.5 } else { 0.5 }
    }

    /// Energy of the level `v`, `j` in 1/cm.
    fn energy(self, v: usize, j: f64) -> f64 {
        let Level { term, rotation, coupling } = LEVELS[v];
        let y = coupling / rotation;
        let x = (j + 0.5) * (j + 0.5);
        let split = 0.5 * (4.0 * x + y * (y - 4.0)).sqrt();
        let sign = if self == Self::ThreeHalves { -1.0 } else { 1.0 };
        let centrifugal = 1.918e-3 - 1.69e-5 * v as f64;
        term + rotation * (x - 1.0 + sign * split) - centrifugal * ((x - 1.0) * (x - 1.0) + x)
    }
}

/// Lines of OH: vacuum Angstrom and 1e-17 erg/s/cm2/arcsec2.
fn oh_lines() -> Vec<(f64, f64)> {
    let mut lines = Vec::new();
    for (upper, lower, strength) in BANDS {
        let ground = Ladder::ThreeHalves.energy(upper, 1.5);
        for ladder in [Ladder::ThreeHalves, Ladder::Half] {
            let omega = ladder.omega();
            for j in (0..HIGHEST).map(|k| omega + f64::from(k)) {
                for (to, factor) in [
                    (j - 1.0, (j * j - omega * omega) / j),
                    (j, (2.0 * j + 1.0) * omega * omega / (j * (j + 1.0))),
                    (j + 1.0, ((j + 1.0).powi(2) - omega * omega) / (j + 1.0)),
                ] {
                    if to >= omega {
                        let energy = ladder.energy(upper, to);
                        let light = strength * factor * (-(energy - ground) / (BOLTZMANN * TEMPERATURE)).exp();
                        lines.push((CM / (energy - ladder.energy(lower, j)), light));
                    }
                }
            }
        }
    }
    lines
}

/// Light of the lines on a grid, 1e-17 erg/s/cm2/Angstrom/arcsec2.
pub fn density(grid: &WaveGrid) -> Vec<f64> {
    let mut density = vec![0.0; grid.len];
    for (wave, light) in ATOMS.into_iter().chain(oh_lines()) {
        grid.deposit(&mut density, wave, light);
    }
    density
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oh_lines_are_where_the_sky_shows_them() {
        // Osterbrock et al. 1996 (PASP 108, 277), vacuum: 9-3, 6-1, 7-2, 8-3, 9-4, 5-1, 6-2, 7-3, 8-4, 3-0
        let known = [
            6289.2, 6534.8, 6902.7, 7278.4, 7318.3, 7342.9, 7752.8, 7796.3, 7915.9, 7966.8, 7995.5, 8346.9, 8401.5,
            8432.5, 8829.5, 8888.3, 8922.1, 9378.5, 9442.3, 9793.8,
        ];
        let lines = oh_lines();
        for wave in known {
            let nearest = lines.iter().filter(|l| l.1 > 1.0).map(|l| (l.0 - wave).abs()).fold(f64::INFINITY, f64::min);
            assert!(nearest < 0.15, "{wave}: {nearest}");
        }
        assert!(lines.iter().filter(|l| l.1 > 0.1 && (3600.0..9824.0).contains(&l.0)).count() > 250);
    }

    #[test]
    fn the_red_sky_is_as_bright_as_the_measured_one() {
        // mean less median of the UVES atlas over the 200 Angstrom from each wavelength on
        let grid = WaveGrid { start: 7000.0, step: 0.2, len: 15_000 };
        let density = density(&grid);
        for (start, expected) in [(7400.0, 0.58), (7800.0, 2.27), (8800.0, 3.93), (9600.0, 3.18), (9800.0, 6.57)] {
            let window = |(i, v): (usize, &f64)| (start..start + 200.0).contains(&grid.wave(i)).then_some(*v);
            let values: Vec<f64> = density.iter().enumerate().filter_map(window).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((mean / expected - 1.0).abs() < 0.4, "{start}: {mean}");
        }
    }
}
