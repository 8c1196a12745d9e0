//! Emission of ionised gas in galaxies.

use numerics::LIGHT_KMS;
use std::f64::consts::FRAC_1_SQRT_2;

/// Ratios that vary from galaxy to galaxy.
#[derive(Debug, Clone, Copy)]
pub struct Nebula {
    /// Oxygen abundance from 0 (metal-poor, highly excited) to 1 (metal-rich).
    pub richness: f64,
    /// [O II] 3727+3729 relative to H beta.
    pub o2: f64,
    /// [O III] 5007 relative to H beta.
    pub o3: f64,
    /// [N II] 6584 relative to H alpha.
    pub n2: f64,
    /// [O II] 3729 / 3727: 1.5 at low density, 0.35 at high (Osterbrock & Ferland 2006, figure 5.8).
    pub doublet: f64,
    /// Colour excess of the gas, mag.
    pub ebv: f64,
}

impl Nebula {
    /// Ratios roughly along the sequence of star-forming galaxies (Maiolino et al. 2008, A&A 488, 463) at a
    /// richness from 0 to 1.
    pub fn star_forming(richness: f64) -> Self {
        let r = richness;
        Self {
            richness,
            o2: 1.3 + 9.0 * r * (1.0 - r) - 0.3 * r,
            o3: 5.5 * (1.0 - r).powi(2) + 0.35,
            n2: 0.03 + 0.40 * r * r,
            doublet: 1.35,
            ebv: 0.0,
        }
    }

    /// A narrow-line active nucleus (Kewley et al. 2006, MNRAS 372, 961).
    pub fn active() -> Self {
        Self { richness: 0.7, o2: 2.5, o3: 9.0, n2: 0.9, doublet: 1.1, ebv: 0.0 }
    }

    /// (vacuum Angstrom, flux relative to H beta). Balmer decrement of case B, 10^4 K (Osterbrock & Ferland
    /// 2006, table 4.4); ratios within a doublet from transition probabilities (Storey & Zeippen 2000);
    /// wavelengths from NIST.
    pub fn lines(&self) -> Vec<(f64, f64)> {
        let (r, o3) = (self.richness, self.o3);
        let alpha = 2.86;
        let sulphur = alpha * (0.12 + 0.20 * r);
        let active = if o3 > 7.0 { 1.0 } else { 0.0 };
        let mut lines = vec![
            (6564.61, alpha),
            (4862.68, 1.0),
            (4341.68, 0.468),
            (4102.89, 0.259),
            (3971.20, 0.159),
            (3890.15, 0.105 + 0.09),
            (3836.47, 0.073),
            (3798.98, 0.053),
            (3727.09, self.o2 / (1.0 + self.doublet)),
            (3729.88, self.o2 * self.doublet / (1.0 + self.doublet)),
            (4960.30, o3 / 2.98),
            (5008.24, o3),
            (4364.44, 0.012 * o3 * (1.0 - r)),
            (3869.86, 0.08 * o3),
            (3968.59, 0.08 * o3 * 0.301),
            (5877.25, 0.12),
            (4472.73, 0.04),
            (6679.99, 0.033),
            (7067.14, 0.02),
            (6549.86, alpha * self.n2 / 3.05),
            (6585.27, alpha * self.n2),
            (6718.29, sulphur * 0.58),
            (6732.67, sulphur * 0.42),
            (6302.05, alpha * (0.03 + 0.03 * r + 0.12 * active)),
            (6365.54, alpha * (0.03 + 0.03 * r + 0.12 * active) / 3.0),
            (7137.77, 0.03 * alpha),
            (7321.5, 0.03 * self.o2),
            (7332.2, 0.025 * self.o2),
            (9071.10, 0.08 * alpha),
            (9533.20, 0.08 * 2.47 * alpha),
            (10052.1, 0.055),
            (3426.84, 0.5 * active),
            (3346.79, 0.18 * active),
            (4687.02, 0.25 * active + 0.01 * (1.0 - r)),
            (2796.35, 0.05 * (1.0 - r) + 0.3 * active),
            (2803.53, 0.03 * (1.0 - r) + 0.2 * active),
            (1906.68, 0.10 * o3 * (1.0 - r).powi(2)),
            (1908.73, 0.07 * o3 * (1.0 - r).powi(2)),
        ];
        for (wave, flux) in &mut lines {
            *flux *= crate::dust::transmission(self.ebv, *wave);
        }
        lines
    }

    /// Adds the lines to a spectrum per Angstrom: total flux of H beta before dust `h_beta`, Gaussians of `sigma` km/s,
    /// integrated over pixels of a logarithmic grid.
    pub fn add(&self, wave: &[f64], spectrum: &mut [f64], h_beta: f64, sigma: f64) {
        add_lines(wave, spectrum, &self.lines(), h_beta, sigma);
    }
}

/// Adds Gaussian lines (vacuum Angstrom, flux) times `scale`, of `sigma` km/s, to a spectrum per Angstrom on a
/// logarithmic grid; pixels get the mean over their width.
pub(crate) fn add_lines(wave: &[f64], spectrum: &mut [f64], lines: &[(f64, f64)], scale: f64, sigma: f64) {
    let step = libm::log(wave[1] / wave[0]);
    let width = sigma / LIGHT_KMS; // in ln(wavelength)
    for &(centre, flux) in lines {
        let position = libm::log(centre / wave[0]) / step;
        let reach = 5.0 * width / step + 1.0;
        let from = (position - reach).max(0.0) as usize;
        let to = ((position + reach).max(0.0) as usize).min(wave.len());
        let cumulative = |edge: f64| 0.5 * libm::erf((edge - position) * step / width * FRAC_1_SQRT_2);
        let mut before = cumulative(from as f64 - 0.5);
        for i in from..to {
            let after = cumulative(i as f64 + 0.5);
            spectrum[i] += scale * flux * (after - before) / (step * wave[i]);
            before = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_within_doublets_are_those_of_physics() {
        let lines = Nebula::star_forming(0.5).lines();
        let flux = |w: f64| lines.iter().find(|l| l.0 == w).unwrap().1;
        assert!((flux(5008.24) / flux(4960.30) - 2.98).abs() < 1e-9);
        assert!((flux(6585.27) / flux(6549.86) - 3.05).abs() < 1e-9);
        assert!((flux(6564.61) / flux(4862.68) - 2.86).abs() < 1e-9);
    }

    #[test]
    fn lines_keep_their_flux() {
        let wave = crate::synthesis::log_grid(4000.0, 6000.0, 5e-5);
        let mut spectrum = vec![0.0; wave.len()];
        add_lines(&wave, &mut spectrum, &[(5008.24, 3.0)], 2.0, 40.0);
        let total: f64 = wave.windows(2).zip(&spectrum).map(|(w, f)| f * (w[1] - w[0])).sum();
        assert!((total - 6.0).abs() < 0.01, "{total}");
    }
}
