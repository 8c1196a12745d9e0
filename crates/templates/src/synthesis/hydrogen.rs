//! The lines of hydrogen: Doppler core and Stark wings, layer by layer.

use super::atmosphere::{LAYERS, Opacity, survival};
use super::exponential::exp;
use numerics::LIGHT_KMS;

/// The series whose lines are computed (Lyman, Balmer, Paschen) and the last upper level.
const SERIES: [usize; 3] = [1, 2, 3];
const LAST_LEVEL: usize = 24;
/// Wings are followed to this distance from the centre, Angstrom.
const FARTHEST: f64 = 250.0;
/// Width of the wings in units of the normal field: 1.6 is Holtsmark's for ions, 2.5 doubles the wings for the
/// electrons; 4 gives the Balmer lines of Kurucz's models at 7000 K.
const STARK_WIDTH: f64 = 4.0;
/// Layers below this optical depth at 5000 A are not seen.
const DEEP: f64 = 3.0;
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
    /// Its absorption per hydrogen nucleus in each layer, in units of the opacity `reference` (cm2).
    pub(crate) fn absorption(&self, layers: &[Opacity; LAYERS], reference: &[f64; LAYERS]) -> Absorption {
        let doppler = self.wave * DOPPLER / LIGHT_KMS;
        let mut absorption = Absorption::new(self.wave, doppler);
        let mut brightest = 0.0f64;
        for (k, (layer, reference)) in layers.iter().zip(reference).enumerate() {
            let (strength, stark) = (self.strength(layer) / reference, STARK_WIDTH * layer.field * self.stark);
            let wing = absorption.set(k, strength, stark);
            brightest = brightest.max(if layer.layer.tau < DEEP { wing } else { 0.0 });
        }
        absorption.follow(brightest);
        absorption
    }

    /// Absorption integrated over wavelength, cm2 Angstrom per hydrogen nucleus.
    fn strength(&self, opacity: &Opacity) -> f64 {
        let layer = &opacity.layer;
        // lines to levels that have merged with the continuum fade away
        let lower = self.lower as f64;
        let upper = (1.0 / (1.0 / (lower * lower) - 911.763 / self.wave)).sqrt();
        let stimulated = 1.0 - libm::exp(-super::HC_OVER_K / (self.wave * layer.temperature));
        let survival = survival(upper, opacity.merged);
        8.853e-21 * self.wave * self.wave * self.f * layer.level(self.lower) * stimulated * survival
    }
}

/// A line's absorption in each layer against the distance from its centre: a Doppler core and wings of Holtsmark's
/// form 1 / (1 + beta^5/2), which share the strength by their widths.
pub(crate) struct Absorption {
    centre: f64,
    inverse_doppler: f64,
    /// Distance beyond which nothing is added, Angstrom.
    reach: f64,
    /// Per layer: height of the core, height of the wings, inverse width of the wings.
    core: [f64; LAYERS],
    wing: [f64; LAYERS],
    inverse_width: [f64; LAYERS],
}

impl Absorption {
    fn new(centre: f64, doppler: f64) -> Self {
        let none = [0.0; LAYERS];
        let inverse_doppler = 1.0 / doppler;
        Self { centre, inverse_doppler, reach: 5.0 * doppler, core: none, wing: none, inverse_width: none }
    }

    /// Sets a layer; returns what its wings tend to far away, times the distance to the power of 5/2.
    fn set(&mut self, k: usize, strength: f64, stark: f64) -> f64 {
        let doppler = 1.0 / self.inverse_doppler;
        let share = doppler / (doppler + stark);
        let width = stark + 0.5 * doppler;
        let wing = strength * (1.0 - share) * 0.3784 / width; // 0.3784: the integral is 1
        self.core[k] = strength * share * 0.5642 / doppler;
        self.wing[k] = wing;
        self.inverse_width[k] = 1.0 / width;
        wing * width * width * width.sqrt()
    }

    /// Follows wings that tend to this times the distance to the power of -5/2, to where they fall below a thousandth of
    /// the reference.
    fn follow(&mut self, brightest: f64) {
        self.reach = self.reach.max(libm::pow(brightest / 1e-3, 0.4)).min(FARTHEST);
    }

    /// Adds the absorption at ascending wavelengths to the `opacity` there.
    pub(crate) fn add(&self, wave: &[f64], opacity: &mut [[f64; LAYERS]]) {
        let from = wave.partition_point(|w| *w < self.centre - self.reach);
        let to = wave.partition_point(|w| *w <= self.centre + self.reach);
        add_profile(self, &wave[from..to], &mut opacity[from..to]);
    }
}

numerics::dispatch! {
    /// Adds a line at wavelengths within its reach.
    fn add_profile(line: &Absorption, wave: &[f64], opacity: &mut [[f64; LAYERS]]) -> ()
        = add_profile_in_lanes | add_profile_in_lanes
}

#[inline(always)]
fn add_profile_in_lanes(line: &Absorption, wave: &[f64], opacity: &mut [[f64; LAYERS]]) {
    for (wave, opacity) in wave.iter().zip(opacity) {
        let offset = (wave - line.centre).abs();
        let x = offset * line.inverse_doppler;
        let gaussian = if x < 5.0 { exp(-x * x) } else { 0.0 };
        for (k, opacity) in opacity.iter_mut().enumerate() {
            let beta = offset * line.inverse_width[k];
            *opacity += line.wing[k] / (1.0 + beta * beta * beta.sqrt()) + line.core[k] * gaussian;
        }
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
        let mut line = Absorption::new(5000.0, 0.3);
        let wing = line.set(0, 1.0, 2.0);
        line.follow(wing);
        let wave: Vec<f64> = (-200_000..200_000).map(|i| 5000.0 + f64::from(i) * 0.01).collect();
        let mut opacity = vec![[0.0; LAYERS]; wave.len()];
        line.add(&wave, &mut opacity);
        let sum: f64 = opacity.iter().map(|o| o[0]).sum();
        assert!((0.01 * sum - 1.0).abs() < 0.05, "{sum}");
    }
}
