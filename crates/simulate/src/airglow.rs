//! Airglow lines: atoms and the Meinel bands of OH.

use crate::grid::WaveGrid;

/// Atomic lines: vacuum Angstrom, 1e-17 erg/s/cm2/arcsec2 (Hanuschik 2003; mercury and sodium lamps of towns as
/// seen from Kitt Peak).
const ATOMS: [(f64, f64); 9] = [
    (4359.56, 1.5),
    (5199.27, 4.0),
    (5462.27, 2.0),
    (5578.89, 130.0),
    (5891.58, 12.0),
    (5897.56, 7.0),
    (6302.05, 110.0),
    (6365.54, 36.0),
    (7246.5, 1.0),
];

/// Light of the lines on a grid, 1e-17 erg/s/cm2/Angstrom/arcsec2.
pub fn density(grid: &WaveGrid) -> Vec<f64> {
    let mut density = vec![0.0; grid.len];
    for (wave, light) in ATOMS {
        grid.deposit(&mut density, wave, light);
    }
    density
}
