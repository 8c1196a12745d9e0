//! Calibration lamps: arcs and the flat lamp.

use crate::project::Line;
use psf::lamps::LampLine;

/// Exposure time of arcs and flats, seconds.
pub const ARC_SECONDS: f64 = 5.0;
/// See [`ARC_SECONDS`].
pub const FLAT_SECONDS: f64 = 120.0;
/// Electrons of a line of intensity 1e4 in an arc, at the throughput of [`REFERENCE_THROUGHPUT`].
const ARC_ELECTRONS: f64 = 40_000.0;
/// Line lists span three decades of intensity, lamps are balanced to span two.
const ARC_POWER: f64 = 0.6;
/// Electron per Angstrom of the flat lamp at 6500 Angstrom, at the same throughput.
const FLAT_ELECTRONS: f64 = 25_000.0;
const REFERENCE_THROUGHPUT: f64 = 0.39;
/// Temperature of the flat lamp, K.
const FLAT_KELVIN: f64 = 3400.0;
/// Second radiation constant, Angstrom K (CODATA 2018).
const C2: f64 = 1.438_776_877e8;
/// LEDs that help the lamp in the blue: centre and sigma in Angstrom, height relative to the lamp at 6500.
const LEDS: [(f64, f64, f64); 4] =
    [(3650.0, 90.0, 0.45), (3950.0, 120.0, 0.40), (4500.0, 160.0, 0.45), (5250.0, 250.0, 0.30)];

/// Flat lamp in electron per Angstrom where the throughput is `throughput`.
pub fn flat(wave: f64, throughput: f64) -> f64 {
    let planck = |w: f64| (w / 6500.0).powi(-5) / ((C2 / (w * FLAT_KELVIN)).exp() - 1.0);
    let leds: f64 = LEDS.iter().map(|(c, s, h)| h * (-0.5 * ((wave - c) / s).powi(2)).exp()).sum();
    FLAT_ELECTRONS * (planck(wave) / planck(6500.0) + leds) * throughput / REFERENCE_THROUGHPUT
}

/// Arc lines within a range (Angstrom); `throughput` at a wavelength includes that of each fibre.
pub fn arc(lines: &[LampLine], range: (f64, f64), throughput: impl Fn(f64) -> Vec<f64>) -> Vec<Line> {
    let inside = lines.iter().filter(|l| l.wave >= range.0 && l.wave <= range.1 && l.intensity > 0.0);
    inside
        .map(|l| {
            let light = ARC_ELECTRONS * (l.intensity / 1e4).powf(ARC_POWER) / REFERENCE_THROUGHPUT;
            Line { wave: l.wave, electrons: throughput(l.wave).into_iter().map(|t| t * light).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lamps_are_bright_and_do_not_saturate() {
        // a spot's peak pixel holds a tenth of a line, a third of an Angstrom's continuum times 0.6 Angstrom
        let brightest = psf::lamps::builtin().iter().map(|l| l.intensity).fold(0.0, f64::max);
        assert!(ARC_ELECTRONS * (brightest / 1e4).powf(ARC_POWER) * 0.11 < 60_000.0);
        for wave in [3600.0, 4000.0, 5000.0, 6500.0, 9800.0] {
            let electrons = flat(wave, 0.39);
            assert!((3_000.0..60_000.0).contains(&electrons), "{wave}: {electrons}");
        }
    }
}
