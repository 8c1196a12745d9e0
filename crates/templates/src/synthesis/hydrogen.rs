//! The lines of hydrogen: Doppler core and Stark wings, layer by layer.

use super::LIGHT_KMS;
use super::atmosphere::Layer;

/// The series whose lines are computed (Lyman, Balmer, Paschen) and the last upper level.
const SERIES: [usize; 3] = [1, 2, 3];
const LAST_LEVEL: usize = 24;
/// Wings are followed to this distance from the centre, Angstrom.
pub(crate) const WINDOW: f64 = 250.0;
/// Doppler width of the core in km/s: thermal and turbulent.
const DOPPLER: f64 = 12.0;

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
    /// Absorption in cm2 per hydrogen nucleus of `layer`, as a function of the distance from the centre in Angstrom:
    /// (strength, Doppler width, Stark width), see [`Profile::at`].
    pub(crate) fn profile(&self, layer: &Layer) -> Profile {
        let density = layer.electron_density();
        let field = 1.25e-9 * density.powf(2.0 / 3.0); // Holtsmark's normal field strength
        // levels whose Stark broadening exceeds their distance have merged with the continuum
        // (Inglis & Teller 1939); their lines fade away
        let lower = self.lower as f64;
        let upper = (1.0 / (1.0 / (lower * lower) - 911.763 / self.wave)).sqrt();
        let merged = 10f64.powf((23.26 - density.log10()) / 7.5);
        let survival = 1.0 / (1.0 + (upper / merged).powi(8));
        let stimulated = 1.0 - (-super::HC_OVER_K / (self.wave * layer.temperature)).exp();
        let strength = 8.853e-21 * self.wave * self.wave * self.f * layer.level(self.lower) * stimulated * survival;
        Profile { strength, doppler: self.wave * DOPPLER / LIGHT_KMS, stark: 2.5 * field * self.stark }
    }
}

/// Absorption against the distance from the centre.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    strength: f64,
    doppler: f64,
    stark: f64,
}

impl Profile {
    /// cm2 per hydrogen nucleus at `offset` Angstrom: Holtsmark wings, 1 / (1 + beta^5/2) normalised (their
    /// asymptote is that of the theory, doubled for the electrons), convolved with the core by adding the
    /// widths.
    pub(crate) fn at(&self, offset: f64) -> f64 {
        let width = self.stark + 0.5 * self.doppler;
        let beta = offset.abs() / width;
        let stark = 0.3784 / width / (1.0 + beta * beta * beta.sqrt());
        let x = offset / self.doppler;
        let share = self.doppler / (self.doppler + self.stark); // of the core
        let core = if x.abs() < 5.0 { 0.5642 / self.doppler * (-x * x).exp() } else { 0.0 };
        self.strength * (share * core + (1.0 - share) * stark)
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
        let p = Profile { strength: 1.0, doppler: 0.3, stark: 2.0 };
        let sum: f64 = (-200_000..200_000).map(|i| p.at(i as f64 * 0.01) * 0.01).sum();
        assert!((sum - 1.0).abs() < 0.03, "{sum}");
    }
}
