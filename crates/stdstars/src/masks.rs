//! Wavelengths that say nothing about a star: sky lines, the atmosphere's and the interstellar absorption.

/// Bright sky lines, vacuum Angstrom (Hg, [O I], Na, OH; Osterbrock et al. 1996, PASP 108, 277).
const SKY_LINES: [f64; 10] = [4047.5, 4359.3, 5462.3, 5578.9, 5891.3, 5897.3, 6301.8, 6365.4, 7823.3, 7855.2];
/// Half width around them, Angstrom.
const SKY_WIDTH: f64 = 6.0;
/// Bands of O2 and H2O (Stevenson 1994, MNRAS 267, 904), Angstrom.
const TELLURIC: [(f64, f64); 6] =
    [(6275.0, 6320.0), (6865.0, 6960.0), (7160.0, 7340.0), (7590.0, 7715.0), (8105.0, 8270.0), (8270.0, f64::INFINITY)];

/// Whether a bin can be used to fit a star.
pub fn is_clear(wave: f64) -> bool {
    SKY_LINES.iter().all(|line| (wave - line).abs() > SKY_WIDTH) && TELLURIC.iter().all(|(a, b)| wave < *a || wave > *b)
}

/// Whether an interstellar line (Ca II) may shift the star's velocity.
pub fn is_interstellar(wave: f64) -> bool {
    [3934.77, 3969.59].iter().any(|line: &f64| (wave - line).abs() <= 6.0)
}
