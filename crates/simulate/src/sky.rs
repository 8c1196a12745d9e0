//! The dark night sky: continuum and airglow lines.

use crate::{airglow, grid::WaveGrid, tables::Curve};

/// Continuum of the dark sky in 1e-17 erg/s/cm2/Angstrom/arcsec2: medians over 200 Angstrom of the UVES sky
/// atlas (Hanuschik 2003), which leave the lines out.
const CONTINUUM: [(f64, f64); 21] = [
    (3400.0, 1.42),
    (3600.0, 1.43),
    (4000.0, 1.48),
    (4400.0, 1.69),
    (4800.0, 1.29),
    (5000.0, 1.03),
    (5400.0, 1.06),
    (5800.0, 1.22),
    (6200.0, 1.21),
    (6600.0, 0.97),
    (7000.0, 0.80),
    (7400.0, 0.77),
    (7800.0, 0.85),
    (8200.0, 0.72),
    (8600.0, 0.76),
    (8800.0, 0.75),
    (9000.0, 0.66),
    (9200.0, 0.67),
    (9600.0, 0.77),
    (9800.0, 0.93),
    (10200.0, 0.95),
];

/// The sky above the atmosphere, continuum and lines apart because only the lines vary over the field.
#[derive(Debug, Clone)]
pub enum Sky {
    /// The built-in continuum and airglow lines.
    BuiltIn,
    /// A measured spectrum with lines.
    Measured(Curve),
    /// A measured spectrum of lines only, on the built-in continuum.
    Lines(Curve),
}

impl Sky {
    /// Continuum and lines on a grid, each in 1e-17 erg/s/cm2/Angstrom/arcsec2.
    pub fn spectrum(&self, grid: &WaveGrid) -> (Vec<f64>, Vec<f64>) {
        let continuum = || {
            let table = Curve::from_pairs(&CONTINUUM);
            grid.waves().iter().map(|&w| table.at(w)).collect::<Vec<f64>>()
        };
        match self {
            Self::BuiltIn => (continuum(), airglow::density(grid)),
            Self::Lines(curve) => (continuum(), deposited(grid, curve)),
            // a measured spectrum tells them not apart: it counts as lines where it exceeds twice the continuum
            Self::Measured(curve) => {
                let (whole, base) = (deposited(grid, curve), continuum());
                let lines: Vec<f64> =
                    whole.iter().zip(&base).map(|(w, b)| if *w > 2.0 * b { w - b } else { 0.0 }).collect();
                (whole.iter().zip(&lines).map(|(w, l)| w - l).collect(), lines)
            }
        }
    }
}

/// A sampled spectrum on the grid: each sample's light is shared so that its centroid is kept.
fn deposited(grid: &WaveGrid, curve: &Curve) -> Vec<f64> {
    let edges = numerics::resample::bin_edges(&curve.wave);
    let mut density = vec![0.0; grid.len];
    for ((wave, value), edge) in curve.wave.iter().zip(&curve.value).zip(edges.windows(2)) {
        grid.deposit(&mut density, *wave, value * (edge[1] - edge[0]));
    }
    density
}

#[cfg(test)]
mod tests {
    use super::*;
    use datamodel::Band;

    #[test]
    fn a_sampled_spectrum_keeps_its_light() {
        let grid = WaveGrid::covering(Band::Z, (7300.0, 9900.0));
        let wave: Vec<f64> = (0..40_000).map(|i| 7000.0 + 0.1 * f64::from(i)).collect();
        let value = wave.iter().map(|w| 1.0 + 100.0 * (-0.5 * ((w - 8401.37) / 0.15f64).powi(2)).exp()).collect();
        let (continuum, lines) = Sky::Measured(Curve { wave, value }).spectrum(&grid);
        let light: f64 = lines.iter().sum::<f64>() * grid.step;
        let expected = 100.0 * 0.15 * (2.0 * std::f64::consts::PI).sqrt();
        assert!((light / expected - 1.0).abs() < 0.03, "{light} {expected}");
        assert!(continuum[500..9000].iter().all(|c| (0.5..2.0).contains(c)));
    }
}
