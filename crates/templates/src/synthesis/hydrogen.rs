//! The lines of hydrogen: Doppler core and Stark wings, layer by layer.

use super::LIGHT_KMS;
use super::atmosphere::{Layer, survival};

/// The series whose lines are computed (Lyman, Balmer, Paschen) and the last upper level.
const SERIES: [usize; 3] = [1, 2, 3];
const LAST_LEVEL: usize = 24;
/// Wings are followed to this distance from the centre, Angstrom.
const FARTHEST: f64 = 250.0;
/// Doppler width of the core in km/s: thermal and turbulent.
const DOPPLER: f64 = 10.0;

/// A transition of hydrogen.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Lower level.
    pub lower: usize,
    /// Vacuum Angstrom.
    pub wave: f64,
    /// Absorption oscillator strength.
    f: f64,
    /// Stark shift in Angstrom per unit field (asymptotic constant of Griem 1960, ApJ 132, 883).
    stark: f64,
}

/// The lines of [`SERIES`] with 900 A < wavelength < 11000 A.
pub fn lines() -> Vec<Line> {
    SERIES
        .iter()
        .flat_map(|&lower| (lower + 1..=LAST_LEVEL).map(move |upper| line(lower, upper)))
        .filter(|l| l.wave < 11000.0)
        .collect()
}

fn line(lower: usize, upper: usize) -> Line {
    let (n2, m2) = ((lower * lower) as f64, (upper * upper) as f64);
    let difference = 1.0 / n2 - 1.0 / m2;
    // Kramers' oscillator strength with a Gaunt factor that tends to 0.89 (Menzel & Pekeris 1935)
    let gaunt = 0.89 - 0.13 / (upper - lower) as f64;
    let f = 1.96028 * gaunt / (n2 * n2 * lower as f64 * m2 * upper as f64 * difference.powi(3));
    let wave = 911.763 / difference; // Rydberg constant of hydrogen, NIST
    Line { lower, wave, f, stark: 5.5e-5 * (n2 * m2).powi(2) / (m2 - n2) }
}

impl Line {
    /// Absorption per hydrogen nucleus of `layer`, in units of the opacity `reference` (cm2).
    pub(crate) fn profile(&self, layer: &Layer, reference: f64) -> Profile {
        let density = layer.electron_density();
        let field = 1.25e-9 * density.powf(2.0 / 3.0); // Holtsmark's normal field strength
        // lines to levels that have merged with the continuum fade away
        let lower = self.lower as f64;
        let upper = (1.0 / (1.0 / (lower * lower) - 911.763 / self.wave)).sqrt();
        let survival = survival(upper, layer.merged_level());
        let stimulated = 1.0 - (-super::HC_OVER_K / (self.wave * layer.temperature)).exp();
        let strength = 8.853e-21 * self.wave * self.wave * self.f * layer.level(self.lower) * stimulated * survival;
        Profile::new(strength / reference, self.wave * DOPPLER / LIGHT_KMS, 4.0 * field * self.stark)
    }
}

/// Absorption against the distance from the centre.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    core: f64,
    inverse_doppler: f64,
    wing: f64,
    inverse_width: f64,
}

impl Profile {
    /// Holtsmark wings, 1 / (1 + beta^5/2) normalised (their asymptote is that of the theory, doubled for the
    /// electrons), and a Doppler core, which share the `strength` by their widths in Angstrom.
    fn new(strength: f64, doppler: f64, stark: f64) -> Self {
        let share = doppler / (doppler + stark);
        let width = stark + 0.5 * doppler;
        Self {
            core: strength * share * 0.5642 / doppler,
            inverse_doppler: 1.0 / doppler,
            wing: strength * (1.0 - share) * 0.3784 / width,
            inverse_width: 1.0 / width,
        }
    }

    /// Absorption at a distance of `offset` >= 0 Angstrom.
    #[inline]
    pub(crate) fn at(&self, offset: f64) -> f64 {
        let beta = offset * self.inverse_width;
        let x = offset * self.inverse_doppler;
        let core = if x < 5.0 { self.core * (-x * x).exp() } else { 0.0 };
        core + self.wing / (1.0 + beta * beta * beta.sqrt())
    }

    /// Distance at which the absorption falls below `least`.
    pub(crate) fn reach(&self, least: f64) -> f64 {
        let wing = (self.wing / least).powf(0.4) / self.inverse_width;
        wing.max(5.0 / self.inverse_doppler).min(FARTHEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oscillator_strengths_are_the_exact_ones() {
        // Wiese & Fuhr 2009 (NIST)
        for (lower, upper, exact) in [(1, 2, 0.4162), (2, 3, 0.6407), (2, 4, 0.1193), (2, 6, 0.02209), (3, 4, 0.8421)] {
            let l = line(lower, upper);
            assert!((l.f / exact - 1.0).abs() < 0.09, "{lower}-{upper}: {} {exact}", l.f);
        }
        assert!((line(2, 3).wave - 6564.6).abs() < 0.1);
    }

    #[test]
    fn profiles_are_normalised() {
        let p = Profile::new(1.0, 0.3, 2.0);
        let sum: f64 = (-200_000..200_000).map(|i| p.at((i as f64 * 0.01).abs()) * 0.01).sum();
        assert!((sum - 1.0).abs() < 0.03, "{sum}");
    }
}
