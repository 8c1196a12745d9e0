//! Strengths and profiles of metal lines: the curve of growth, anchored at the Sun.

use super::atmosphere::{BOLTZMANN_EV, Element, Layer, Star, layers, line_layer};
use super::exponential::exp;
use super::fraunhofer::{self, Species};
use super::planck;
use numerics::LIGHT_KMS;
use numerics::interp;
use std::sync::OnceLock;

/// Doppler width of the cores of metal lines in km/s (thermal and microturbulent; Gray 2005, chapter 17).
const DOPPLER: f64 = 1.8;
/// Damping parameter of lines in the Sun.
const DAMPING: f64 = 0.02;
/// Farthest wing that is followed, km/s.
const FARTHEST: f64 = 15000.0;

/// A line with its strength in the Sun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Vacuum Angstrom.
    pub wave: f64,
    pub species: Species,
    /// Energy of the lower level, eV.
    pub excitation: f64,
    /// Central optical depth in units of the continuum's, in the Sun.
    strength: f64,
}

/// The lines of [`fraunhofer`] with strengths that give their equivalent widths in the Sun.
pub(crate) fn list() -> &'static [Line] {
    static LINES: OnceLock<Vec<Line>> = OnceLock::new();
    LINES.get_or_init(|| {
        fraunhofer::LINES
            .iter()
            .map(|&(air, species, excitation, width)| {
                let wave = super::vacuum(air);
                let contrast = contrast(wave, Star::SUN.teff);
                let strength = strength_of(width * 1e-3 / wave * LIGHT_KMS, contrast);
                Line { wave, species, excitation, strength }
            })
            .collect()
    })
}

/// Residual depth of an opaque line: the photosphere at its temperature minimum against the continuum.
fn contrast(wave: f64, teff: f64) -> f64 {
    1.0 - planck(wave, 0.76 * teff) / planck(wave, teff)
}

/// Depth of a line of central `strength` at `v` Doppler widths: Minnaert's formula for the Voigt profile of
/// damping `a`.
fn depth(strength: f64, a: f64, contrast: f64, v: f64) -> f64 {
    let v2 = v * v;
    let core = if v2 < 30.0 { libm::exp(-v2) } else { 0.0 };
    let wing = a * 0.5642 / (v2 + 1.0);
    let x = strength * (core + wing);
    contrast * x / (1.0 + x)
}

numerics::dispatch! {
    /// Mean of [`depth`] over the width of a pixel about `v`, from its values in the middle of equal steps.
    fn mean_depth(strength: f64, a: f64, contrast: f64, pixel: (f64, f64, usize)) -> f64
        = mean_depth_in_lanes | mean_depth_in_lanes
}

#[inline(always)]
fn mean_depth_in_lanes(strength: f64, a: f64, contrast: f64, (v, width, steps): (f64, f64, usize)) -> f64 {
    const LANES: usize = 8;
    let step = width / steps as f64;
    let start = v - 0.5 * width + 0.5 * step;
    let mut sums = [0.0; LANES];
    for first in (0..steps).step_by(LANES) {
        let (start, known) = (start + first as f64 * step, (steps - first) as f64);
        for (i, sum) in sums.iter_mut().enumerate() {
            let lane = i as f64;
            let v = start + lane * step;
            let x = strength * (exp(-v * v) + a * 0.5642 / (v * v + 1.0));
            *sum += if lane < known { x / (1.0 + x) } else { 0.0 };
        }
    }
    let mut total = 0.0;
    for sum in sums {
        total += sum;
    }
    contrast * total / steps as f64
}

/// Equivalent width in km/s.
fn equivalent_width(strength: f64, contrast: f64) -> f64 {
    // steps that grow with the distance: 0.25 Doppler widths in the core
    let (mut v, mut sum) = (0.0f64, 0.0);
    while v * DOPPLER < FARTHEST {
        let step = (0.08 * v).max(0.25);
        sum += depth(strength, DAMPING, contrast, v + 0.5 * step) * step;
        v += step;
    }
    2.0 * DOPPLER * sum
}

/// Strength that gives an equivalent width in km/s: bisection of its logarithm.
fn strength_of(width: f64, contrast: f64) -> f64 {
    let (mut low, mut high) = (-4.0f64, 9.0f64);
    for _ in 0..30 {
        let middle = 0.5 * (low + high);
        if equivalent_width(libm::pow(10.0, middle), contrast) < width {
            low = middle;
        } else {
            high = middle;
        }
    }
    libm::pow(10.0, 0.5 * (low + high))
}

/// What scales the lines of a star: the gas where they form there and in the Sun.
pub(crate) struct Scaling {
    star: Star,
    layer: Layer,
    sun: Layer,
    /// (Angstrom, continuous opacity of the Sun over that of the star).
    opacity: (Vec<f64>, Vec<f64>),
}

impl Scaling {
    pub(crate) fn new(star: &Star, layers_of_star: &[Layer]) -> Self {
        static SUN: OnceLock<Layer> = OnceLock::new();
        let sun = *SUN.get_or_init(|| line_layer(&layers(&Star::SUN)));
        let layer = line_layer(layers_of_star);
        let knots: Vec<f64> = [900.0, 1200.0, 1600.0, 2000.0, 2400.0, 2800.0, 3200.0, 3645.0, 3648.0]
            .into_iter()
            .chain((0..18).map(|i| 4000.0 + 400.0 * f64::from(i)))
            .collect();
        let ratios = knots.iter().map(|w| sun.continuum(*w) / layer.continuum(*w)).collect();
        Self { star: *star, layer, sun, opacity: (knots, ratios) }
    }

    /// The gas at the depth where lines form.
    pub(crate) fn gas(&self) -> &Layer {
        &self.layer
    }

    /// The star.
    pub(crate) fn star(&self) -> &Star {
        &self.star
    }

    /// Gas pressure over continuous opacity, relative to the Sun.
    pub(crate) fn pressure_per_opacity(&self) -> f64 {
        let ratio = |l: &Layer| l.pressure / l.continuum(5000.0);
        ratio(&self.layer) / ratio(&self.sun)
    }

    /// Absorbers in an ionisation stage per hydrogen nucleus, relative to the Sun (abundance, Saha).
    pub(crate) fn abundance(&self, element: &Element, stage: usize) -> f64 {
        libm::pow(10.0, self.star.feh) * self.layer.fraction(element, stage) / self.sun.fraction(element, stage)
    }

    /// Of these, the share in a level (Boltzmann) per unit of continuous opacity, relative to the Sun.
    pub(crate) fn excitation(&self, energy: f64, wave: f64) -> f64 {
        let boltzmann = energy / BOLTZMANN_EV * (1.0 / self.sun.temperature - 1.0 / self.layer.temperature);
        libm::exp(boltzmann) * interp::linear(wave, &self.opacity.0, &self.opacity.1)
    }

    /// Damping relative to the Sun: collisions with neutral hydrogen go as the gas pressure (Gray 2005,
    /// section 11); a tenth is left for radiation.
    fn damping(&self) -> f64 {
        let neutral = |l: &Layer| l.pressure * l.neutral * libm::pow(l.temperature, -0.7);
        DAMPING * (0.1 + 0.9 * neutral(&self.layer) / neutral(&self.sun))
    }

    /// Factor by which the haze of weak lines that blocks the fraction `blocked` of the Sun's light blocks
    /// this star's, for absorbers of relative `column`: a curve of growth with its knee at the Sun.
    pub(crate) fn haze(blocked: f64, column: f64) -> f64 {
        // linear for few absorbers, as the square root of the logarithm for many
        const LN_3: f64 = 1.098_612_288_668_109_8;
        let growth = libm::log(1.0 + 2.0 * column) / LN_3;
        libm::exp(growth * libm::log(1.0 - blocked))
    }
}

/// Multiplies a spectrum by what the metal lines let through. `wave` is logarithmic; every pixel gets the
/// mean over its width.
pub(crate) fn absorb(scaling: &Scaling, wave: &[f64], flux: &mut [f64]) {
    let pixel = libm::log(wave[1] / wave[0]) * LIGHT_KMS; // km/s
    let width = pixel / DOPPLER;
    let damping = scaling.damping();
    let abundances = Species::ALL.map(|species| {
        let (element, stage) = species.ion();
        scaling.abundance(element, stage)
    });
    for line in list() {
        let abundance = abundances[line.species as usize];
        let strength = line.strength * abundance * scaling.excitation(line.excitation, line.wave);
        if strength < 1e-3 || line.wave < wave[0] || line.wave > wave[wave.len() - 1] {
            continue;
        }
        let contrast = contrast(line.wave, scaling.star.teff);
        // the wing falls below 2e-4 of the continuum there
        let reach = (DOPPLER * (strength * damping * 0.5642 / 2e-4).sqrt()).clamp(5.0 * DOPPLER, FARTHEST);
        let place = libm::log(line.wave / wave[0]) * LIGHT_KMS / pixel;
        let centre = place as isize;
        let half = (reach / pixel).ceil() as isize + 1;
        for i in (centre - half).max(0)..=(centre + half).min(wave.len() as isize - 1) {
            let v = (i as f64 - place) * width;
            let steps = if v.abs() < 1.5 * width + 6.0 { (width / 0.5).ceil() as usize } else { 1 };
            let mean = match steps {
                1 => depth(strength, damping, contrast, v),
                _ => mean_depth(strength, damping, contrast, (v, width, steps)),
            };
            flux[i as usize] *= 1.0 - mean;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_of_growth_has_its_three_parts() {
        let w = |s: f64| equivalent_width(s, 0.8);
        let slope = |s: f64| (w(2.0 * s) / w(s)).log2();
        assert!((slope(1e-3) - 1.0).abs() < 0.05, "linear {}", slope(1e-3));
        assert!(slope(50.0) < 0.35, "flat {}", slope(50.0));
        assert!((slope(1e6) - 0.5).abs() < 0.07, "damped {}", slope(1e6));
        let s = strength_of(20.0, 0.8);
        assert!((w(s) / 20.0 - 1.0).abs() < 1e-3);
    }
}
