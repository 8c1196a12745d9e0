//! The fine wavelength grid on which spectra are summed and from which they are projected onto the CCD.

use datamodel::Band;

/// Fine steps per bin of the extraction grid: 0.2 Angstrom.
const FINE: f64 = 4.0;

/// Equidistant wavelengths in Angstrom; light between two of them is shared so that its centroid is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WaveGrid {
    /// First wavelength.
    pub start: f64,
    /// Step.
    pub step: f64,
    /// Number of wavelengths.
    pub len: usize,
}

impl WaveGrid {
    /// The grid that covers a range (Angstrom) and holds every bin of the band's extraction grid.
    pub fn covering(band: Band, (min, max): (f64, f64)) -> Self {
        let (first, _, bin) = band.extraction_grid();
        let step = bin / FINE;
        let before = ((first - min) / step).ceil().max(0.0);
        let start = first - before * step;
        Self { start, step, len: ((max - start) / step).floor() as usize + 1 }
    }

    /// Wavelength of a sample.
    pub fn wave(&self, i: usize) -> f64 {
        self.start + i as f64 * self.step
    }

    /// All wavelengths.
    pub fn waves(&self) -> Vec<f64> {
        (0..self.len).map(|i| self.wave(i)).collect()
    }

    /// Adds `amount` (per Angstrom times Angstrom) at `wave` to a density, split between the two nearest
    /// samples; light off the grid is lost.
    pub fn deposit(&self, density: &mut [f64], wave: f64, amount: f64) {
        let at = (wave - self.start) / self.step;
        let i = at.floor();
        let share = at - i;
        for (index, part) in [(i, 1.0 - share), (i + 1.0, share)] {
            if index >= 0.0 && index < self.len as f64 {
                density[index as usize] += part * amount / self.step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extraction_bins_are_samples_and_centroids_are_kept() {
        let grid = WaveGrid::covering(Band::R, (5540.0, 7830.0));
        assert!(grid.start <= 5540.0 && grid.wave(grid.len - 1) > 7829.7);
        let phase = (5760.0 - grid.start) / grid.step;
        assert!((phase - phase.round()).abs() < 1e-9);
        let mut density = vec![0.0; grid.len];
        grid.deposit(&mut density, 6302.05, 7.0);
        let total: f64 = density.iter().sum::<f64>() * grid.step;
        let mean = (0..grid.len).map(|i| density[i] * grid.wave(i)).sum::<f64>() * grid.step / total;
        assert!((total - 7.0).abs() < 1e-12 && (mean - 6302.05).abs() < 1e-9);
    }
}
