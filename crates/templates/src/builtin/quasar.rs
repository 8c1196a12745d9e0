//! Quasars: power laws, the pseudo-continua of iron and of hydrogen, broad and narrow lines.

use super::nebula::add_lines;
use super::{Halton, SOURCE, VERSION, pca};
use crate::synthesis::{exponential::exp_all, log_grid, planck};
use crate::{Igm, Method, Template, dust};
use numerics::LIGHT_KMS;
use rayon::prelude::*;
use std::sync::OnceLock;

/// First and last rest wavelength in Angstrom and step in log10.
const GRID: (f64, f64, f64) = (440.0, 10900.0, 1e-4);
/// Velocity width of narrow lines, km/s.
const NARROW: f64 = 200.0;
/// Members of the family, and vectors of each basis.
const MEMBERS: usize = 40;
const VECTORS: usize = 5;

/// How a line varies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Group {
    /// Broad lines of high ionisation: shifted to the blue, weaker in luminous quasars.
    High,
    /// Broad lines of low ionisation.
    Low,
    /// Broad lines of hydrogen.
    Balmer,
    /// Narrow lines.
    Narrow,
}
use Group::*;

/// Lines: vacuum Angstrom at rest, equivalent width and Gaussian sigma in Angstrom, group. after Vanden
/// Berk et al. 2001 (AJ 122, 549), table 2; C IV, Ly alpha and Mg II, which are no Gaussians, in two parts, and
/// weak blends rounded.
const LINES: [(f64, f64, f64, Group); 42] = [
    (1033.0, 9.8, 7.8, High),
    (1065.1, 0.8, 4.2, Low),
    (1117.9, 0.6, 6.0, Low),
    (1175.7, 0.8, 8.0, Low),
    (1215.67, 40.0, 6.0, High),
    (1215.67, 45.0, 18.0, High),
    (1240.14, 12.0, 9.0, High),
    (1262.6, 0.6, 4.0, Low),
    (1305.4, 1.7, 5.4, Low),
    (1336.6, 0.7, 3.9, Low),
    (1396.8, 8.1, 14.3, High),
    (1486.0, 0.5, 4.0, Low),
    (1549.06, 9.0, 6.0, High),
    (1549.06, 15.0, 18.0, High),
    (1600.0, 4.0, 35.0, High),
    (1640.42, 2.5, 12.0, High),
    (1663.5, 1.5, 9.0, High),
    (1721.9, 0.4, 5.0, Low),
    (1750.0, 0.7, 9.0, Low),
    (1857.4, 1.2, 9.0, Low),
    (1892.0, 3.0, 9.0, Low),
    (1908.7, 17.0, 18.0, Low),
    (2798.75, 14.0, 16.0, Low),
    (2798.75, 18.0, 42.0, Low),
    (3346.8, 0.35, 5.0, Narrow),
    (3426.8, 1.2, 5.0, Narrow),
    (3728.5, 1.6, 3.4, Narrow),
    (3869.9, 1.4, 5.3, Narrow),
    (3968.6, 0.4, 5.0, Narrow),
    (4102.9, 5.0, 18.6, Balmer),
    (4341.7, 12.6, 20.3, Balmer),
    (4364.4, 0.5, 5.0, Narrow),
    (4862.7, 46.0, 40.0, Balmer),
    (4960.3, 4.4, 5.0, Narrow),
    (5008.2, 13.2, 5.0, Narrow),
    (5877.3, 4.9, 23.0, Balmer),
    (6302.0, 0.6, 5.0, Narrow),
    (6564.6, 195.0, 47.0, Balmer),
    (6549.9, 1.5, 5.0, Narrow),
    (6585.3, 4.5, 5.0, Narrow),
    (6718.3, 1.7, 4.5, Narrow),
    (6732.7, 1.5, 4.5, Narrow),
];

/// Iron: centres and sigmas in Angstrom and heights relative to the continuum of the blends of Fe II and Fe III, a
/// coarse reading of Vestergaard & Wilkes 2001 (ApJS 134, 1) and Veron-Cetty et al. 2004 (A&A 417, 515).
const IRON: [(f64, f64, f64); 25] = [
    (2075.0, 35.0, 0.07),
    (2140.0, 45.0, 0.05),
    (2250.0, 45.0, 0.13),
    (2330.0, 35.0, 0.18),
    (2390.0, 30.0, 0.22),
    (2440.0, 30.0, 0.19),
    (2490.0, 25.0, 0.26),
    (2540.0, 25.0, 0.20),
    (2590.0, 25.0, 0.22),
    (2625.0, 20.0, 0.14),
    (2710.0, 30.0, 0.07),
    (2750.0, 20.0, 0.14),
    (2840.0, 25.0, 0.12),
    (2880.0, 30.0, 0.09),
    (2950.0, 35.0, 0.10),
    (3190.0, 45.0, 0.08),
    (3280.0, 40.0, 0.05),
    (4180.0, 25.0, 0.06),
    (4300.0, 30.0, 0.04),
    (4520.0, 25.0, 0.16),
    (4570.0, 25.0, 0.18),
    (4640.0, 30.0, 0.14),
    (5185.0, 25.0, 0.16),
    (5265.0, 30.0, 0.18),
    (5330.0, 25.0, 0.15),
];

/// ln of the wavelengths (Angstrom) where the power law bends, and in the middle of that where it is 1.
const LN_BREAKS: [f64; 3] = [7.090_076_835_776_092, 8.006_367_567_650_246, 8.517_193_191_416_238];

/// What distinguishes one quasar from another; 1 is the mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quasar {
    /// Power of the wavelength in the flux per Angstrom, and of the redder part beyond 5000 A.
    slope: f64,
    red_slope: f64,
    /// Colour excess, mag, of dust like that of the Small Magellanic Cloud.
    ebv: f64,
    /// Strength of the lines of each [`Group`].
    strength: [f64; 4],
    /// Widths of the broad lines.
    width: f64,
    /// Velocity of the lines of high ionisation, km/s.
    shift: f64,
    iron: f64,
    balmer_continuum: f64,
}

impl Quasar {
    pub(crate) fn draw(uniform: &mut dyn FnMut() -> f64) -> Self {
        let mut spread = |dex: f64| libm::pow(10.0, dex * (2.0 * uniform() - 1.0));
        let strength = [spread(0.4), spread(0.3), spread(0.3), spread(0.7)];
        let (width, iron, balmer_continuum) = (spread(0.22), spread(0.5), spread(0.5));
        Self {
            slope: -1.56 + 0.7 * (2.0 * uniform() - 1.0),
            red_slope: 0.45 + 0.9 * (uniform() - 0.7),
            ebv: 0.12 * uniform().powi(3),
            strength,
            width,
            shift: -900.0 * uniform(),
            iron,
            balmer_continuum,
        }
    }

    /// Spectrum on [`wavelengths`], per Angstrom, 1 in the continuum at 3000 A.
    pub(crate) fn spectrum(&self) -> Vec<f64> {
        let parts = parts();
        let mut spectrum: Vec<f64> = parts.ln_wave.iter().map(|w| self.ln_continuum(*w)).collect();
        exp_all(&mut spectrum);
        for (s, (iron, balmer)) in spectrum.iter_mut().zip(parts.iron.iter().zip(&parts.balmer)) {
            *s *= 1.0 + self.iron * iron + self.balmer_continuum * balmer;
        }
        for (rest, width, sigma, group) in LINES {
            let (velocity, shift) = match group {
                High => (self.width * sigma / rest * LIGHT_KMS, self.shift),
                Low | Balmer => (self.width * sigma / rest * LIGHT_KMS, 0.0),
                Narrow => (NARROW, 0.0),
            };
            let line = (rest * (1.0 + shift / LIGHT_KMS), width * self.strength[group as usize]);
            add_lines(&parts.wave, &mut spectrum, &[line], libm::exp(self.ln_continuum(libm::log(rest))), velocity);
        }
        dust::redden(&mut spectrum, self.ebv, &parts.dust);
        spectrum
    }

    /// Power laws of slope -1.56 below 5000 A and 0.45 above in the mean (Vanden Berk et al. 2001, figure 3; the
    /// upturn, which is the host's, is weakened), bent at 1200 A (Telfer et al. 2002, ApJ 565, 773).
    fn ln_continuum(&self, ln_wave: f64) -> f64 {
        let [blue, middle, red] = LN_BREAKS;
        let beyond = (self.red_slope - 0.4 - self.slope) * (ln_wave - red).max(0.0);
        self.slope * (ln_wave - middle) + beyond + 1.1 * (ln_wave - blue).min(0.0)
    }
}

/// What all quasars share, on one grid.
struct Parts {
    wave: Vec<f64>,
    ln_wave: Vec<f64>,
    /// Iron and the Balmer continuum, relative to the power law.
    iron: Vec<f64>,
    balmer: Vec<f64>,
    /// ln(transmission) of dust with E(B-V) = 1 of the Small Cloud: goes as wavelength^-1.2 (Prevot et al. 1984,
    /// A&A 132, 389).
    dust: Vec<f64>,
}

fn parts() -> &'static Parts {
    static SHARED: OnceLock<Parts> = OnceLock::new();
    SHARED.get_or_init(|| {
        let wave = log_grid(GRID.0, GRID.1, GRID.2);
        let iron = wave.iter().map(|w| iron(*w)).collect();
        let balmer = wave.iter().map(|w| balmer_continuum(*w)).collect();
        let dust = wave.iter().map(|w| -0.4 * std::f64::consts::LN_10 * 1.39 * libm::pow(1e4 / w, 1.2)).collect();
        let ln_wave = wave.iter().map(|w| libm::log(*w)).collect();
        Parts { wave, ln_wave, iron, balmer, dust }
    })
}

fn iron(wave: f64) -> f64 {
    let gaussian = |at: f64, sigma: f64| libm::exp(-0.5 * ((wave - at) / sigma).powi(2));
    IRON.iter().map(|(at, sigma, height)| height * gaussian(*at, *sigma)).sum()
}

/// Optically thin Balmer continuum of 15000 K (Grandi 1982, ApJ 255, 25), a tenth of the power law at the
/// edge, which high Balmer lines smear out.
fn balmer_continuum(wave: f64) -> f64 {
    const EDGE: f64 = 3646.0;
    let thin = |w: f64| planck(w, 15000.0) * (1.0 - libm::exp(-(w / EDGE).powi(3)));
    let power = libm::pow(wave / EDGE, -1.56);
    let beyond = 1.0 / (1.0 + libm::exp((wave - EDGE - 60.0) / 50.0));
    0.10 * thin(wave.min(EDGE)) / thin(EDGE) / power * beyond
}

/// Wavelengths of all quasar spectra, vacuum Angstrom at rest.
pub(crate) fn wavelengths() -> &'static [f64] {
    &parts().wave
}

/// The bases of the quasars of high and of low redshift: principal components over the rest wavelengths that
/// 3500-10400 A can show.
pub(crate) fn templates() -> [Template; 2] {
    let mut halton = Halton::new();
    let members: Vec<Quasar> = (0..MEMBERS).map(|_| Quasar::draw(&mut halton.next_point())).collect();
    // before there are several jobs that would wait for them
    parts();
    let family: Vec<Vec<f64>> = members.par_iter().map(Quasar::spectrum).collect();
    let (high, low) = rayon::join(|| template("HIZ", (1.4, 7.0), &family), || template("LOZ", (0.05, 1.65), &family));
    [high, low]
}

fn template(subtype: &str, (z_first, z_last): (f64, f64), family: &[Vec<f64>]) -> Template {
    let wave = wavelengths();
    let from = wave.partition_point(|w| *w < 3500.0 / (1.0 + z_last));
    let to = wave.partition_point(|w| *w < 10450.0 / (1.0 + z_first));
    let family: Vec<Vec<f64>> = family.iter().map(|s| s[from..to].to_vec()).collect();
    let steps = libm::log10((1.0 + z_last) / (1.0 + z_first)) / 5e-4;
    Template {
        spectype: "QSO".to_string(),
        subtype: subtype.to_string(),
        version: VERSION.to_string(),
        source: SOURCE.to_string(),
        wave: wave[from..to].to_vec(),
        basis: pca::components(&family, VECTORS),
        redshifts: (0..=steps as usize).map(|i| (1.0 + z_first) * libm::pow(10.0, 5e-4 * i as f64) - 1.0).collect(),
        igm: Igm::Kamble20,
        method: Method::Pca,
        coefficients: ndarray::Array2::zeros((0, 0)),
    }
}
