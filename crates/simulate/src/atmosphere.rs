//! What the atmosphere takes away: extinction of Kitt Peak and the telluric bands.

use crate::tables::Curve;

/// Continuous extinction at Kitt Peak, magnitudes per airmass (the observatory's table, bands left out).
const EXTINCTION: [(f64, f64); 30] = [
    (3400.0, 0.683),
    (3600.0, 0.538),
    (3800.0, 0.440),
    (4000.0, 0.365),
    (4200.0, 0.308),
    (4400.0, 0.262),
    (4600.0, 0.226),
    (4800.0, 0.200),
    (5000.0, 0.181),
    (5200.0, 0.164),
    (5400.0, 0.155),
    (5600.0, 0.147),
    (5800.0, 0.142),
    (6000.0, 0.133),
    (6200.0, 0.120),
    (6400.0, 0.105),
    (6600.0, 0.092),
    (6800.0, 0.083),
    (7000.0, 0.075),
    (7400.0, 0.064),
    (7800.0, 0.055),
    (8000.0, 0.050),
    (8400.0, 0.046),
    (8600.0, 0.044),
    (8800.0, 0.042),
    (9000.0, 0.039),
    (9200.0, 0.033),
    (9600.0, 0.032),
    (9800.0, 0.030),
    (10000.0, 0.023),
];

/// A telluric band: a head from which lines run to the red, stronger and weaker.
struct TelluricBand {
    /// First and last wavelength, vacuum Angstrom.
    range: (f64, f64),
    /// Where it is deepest.
    peak: f64,
    /// Magnitudes at the peak at unit airmass.
    depth: f64,
    /// Distance of its lines, Angstrom.
    spacing: f64,
    /// Growth with airmass: saturated lines grow as its square root.
    power: f64,
}

/// O2 B and A bands, and water.
const BANDS: [TelluricBand; 6] = [
    TelluricBand { range: (6867.0, 6960.0), peak: 6872.0, depth: 0.75, spacing: 5.0, power: 0.55 },
    TelluricBand { range: (7160.0, 7340.0), peak: 7190.0, depth: 0.10, spacing: 7.0, power: 0.8 },
    TelluricBand { range: (7592.0, 7705.0), peak: 7606.0, depth: 1.7, spacing: 6.0, power: 0.55 },
    TelluricBand { range: (8120.0, 8360.0), peak: 8230.0, depth: 0.18, spacing: 9.0, power: 0.8 },
    TelluricBand { range: (8920.0, 9260.0), peak: 9060.0, depth: 0.20, spacing: 8.0, power: 0.8 },
    TelluricBand { range: (9280.0, 9800.0), peak: 9370.0, depth: 0.45, spacing: 9.0, power: 0.8 },
];

/// Transmission of the atmosphere.
#[derive(Debug, Clone)]
pub struct Atmosphere {
    table: Option<Curve>,
}

impl Atmosphere {
    /// The built-in extinction, or a table (magnitudes per airmass) that has the telluric bands in it.
    pub fn new(table: Option<Curve>) -> Self {
        Self { table }
    }

    /// Share of the light that arrives at an airmass.
    pub fn transmission(&self, wave: f64, airmass: f64) -> f64 {
        let magnitudes = match &self.table {
            Some(table) => table.at(wave) * airmass,
            None => {
                let continuous = numerics::interp::linear(wave, &EXTINCTION.map(|p| p.0), &EXTINCTION.map(|p| p.1));
                continuous * airmass + BANDS.iter().map(|b| b.magnitudes(wave) * airmass.powf(b.power)).sum::<f64>()
            }
        };
        10f64.powf(-0.4 * magnitudes)
    }
}

impl TelluricBand {
    fn magnitudes(&self, wave: f64) -> f64 {
        let (first, last) = self.range;
        if !(first..last).contains(&wave) {
            return 0.0;
        }
        let envelope =
            if wave < self.peak { (wave - first) / (self.peak - first) } else { (last - wave) / (last - self.peak) };
        let lines = 0.75 + 0.25 * (std::f64::consts::TAU * (wave - self.peak) / self.spacing).cos();
        self.depth * envelope * lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extinction_is_the_table_and_the_a_band_is_deep() {
        let air = Atmosphere::new(None);
        assert!((air.transmission(5000.0, 1.0) - 10f64.powf(-0.4 * 0.181)).abs() < 1e-12);
        assert!(air.transmission(7606.0, 1.0) < 0.3);
        assert!(air.transmission(4000.0, 2.0) < air.transmission(4000.0, 1.0));
        let table = Atmosphere::new(Some(Curve::from_pairs(&[(3000.0, 1.0), (10000.0, 1.0)])));
        assert!((table.transmission(6000.0, 1.0) - 0.398).abs() < 1e-3);
    }
}
