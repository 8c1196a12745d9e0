//! The spectrum of a star.

use super::atmosphere::{Layer, Star, layers};
use super::{HC_OVER_K, bands, hydrogen, lines, smooth};
use numerics::interp;

/// Diffusivity factor: 2 E3(t) is about exp(-1.66 t) (Elsasser 1942).
const DIFFUSIVITY: f64 = 1.66;
/// Instrument-like broadening of all stars, km/s: hides that lines are narrower than pixels.
const BROADENING: f64 = 20.0;

/// Flux at the surface of a star per unit wavelength (arbitrary units, the same for all stars) on a logarithmic
/// grid of vacuum Angstrom.
pub fn flux(star: &Star, wave: &[f64]) -> Vec<f64> {
    let layers = layers(star);
    let knots = knots(wave[0], wave[wave.len() - 1]);
    let scaling = lines::Scaling::new(star, &layers);
    let mut smooth_flux = hydrogen_flux(&layers, &knots);
    for (f, t) in smooth_flux.iter_mut().zip(bands::transmission(&scaling, &knots)) {
        *f *= t;
    }
    let mut flux = linear(wave, &knots, &smooth_flux);
    lines::absorb(&scaling, wave, &mut flux);
    let pixel = (wave[1] / wave[0]).ln() * numerics::LIGHT_KMS;
    smooth(&flux, BROADENING / pixel)
}

/// Linear interpolation of ascending `x` at ascending `at`.
fn linear(at: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut k = 0;
    at.iter()
        .map(|&a| {
            while k + 2 < x.len() && x[k + 1] <= a {
                k += 1;
            }
            interp::linear(a, &x[k..k + 2], &y[k..k + 2])
        })
        .collect()
}

/// Wavelengths at which the continuum with its hydrogen lines and bands is computed: every 0.2%, and densely
/// about the lines of hydrogen and the heads of bands.
fn knots(first: f64, last: f64) -> Vec<f64> {
    const OFFSETS: [f64; 16] = [0.0, 0.2, 0.4, 0.65, 1.0, 1.5, 2.2, 3.2, 4.7, 7.0, 10.0, 15.0, 22.0, 33.0, 50.0, 75.0];
    let mut knots = super::log_grid(first * 0.999, last * 1.001, 8e-4);
    for line in hydrogen::lines() {
        knots.extend(OFFSETS.iter().flat_map(|o| [line.wave - o, line.wave + o]));
    }
    knots.extend(bands::heads().flat_map(|head| [head - 3.0, head, head + 3.0]));
    knots.retain(|w| (first * 0.999..=last * 1.001).contains(w));
    knots.sort_by(f64::total_cmp);
    knots.dedup_by(|b, a| *b - *a < 0.15);
    knots
}

/// Emergent flux of the continuum and the lines of hydrogen.
fn hydrogen_flux(layers: &[Layer], wave: &[f64]) -> Vec<f64> {
    // opacity at 5000 A sets the scale of depth
    let reference: Vec<f64> = layers.iter().map(|l| l.continuum(5000.0)).collect();
    let coarse = continuum_knots(wave[0], wave[wave.len() - 1]);
    let continuum: Vec<Vec<f64>> =
        coarse.iter().map(|w| layers.iter().zip(&reference).map(|(l, r)| l.continuum(*w) / r).collect()).collect();
    let lines: Vec<hydrogen::Absorption> =
        hydrogen::lines().iter().map(|line| line.absorption(layers, &reference)).collect();
    let mut ratio = vec![0.0; layers.len()];
    let mut k = 0;
    wave.iter()
        .map(|&w| {
            while k + 2 < coarse.len() && coarse[k + 1] <= w {
                k += 1;
            }
            let part = (w - coarse[k]) / (coarse[k + 1] - coarse[k]);
            for (r, (a, b)) in ratio.iter_mut().zip(continuum[k].iter().zip(&continuum[k + 1])) {
                *r = a + part * (b - a);
            }
            lines.iter().for_each(|line| line.add(w, &mut ratio));
            emergent(layers, &ratio, w)
        })
        .collect()
}

/// Wavelengths between which the continuous opacity is interpolated: every 1%, and
/// densely redward of the limits of the series of hydrogen.
fn continuum_knots(first: f64, last: f64) -> Vec<f64> {
    let mut knots = super::log_grid(first * 0.999, last * 1.001, 4e-3);
    for n in 1..=4 {
        let limit = 911.75 * f64::from(n * n);
        knots.extend([0.99999, 1.00001, 1.002, 1.004, 1.007, 1.011, 1.016, 1.023, 1.032].map(|x| x * limit));
    }
    knots.sort_by(f64::total_cmp);
    knots
}

/// Integral of the Planck function over the layers, weighted with what they let through; `ratio` is the
/// opacity in units of that at 5000 A.
fn emergent(layers: &[Layer], ratio: &[f64], wave: f64) -> f64 {
    let (scale, exponent) = (1e20 / wave.powi(5), HC_OVER_K / wave);
    let planck = |temperature: f64| scale / ((exponent / temperature).exp() - 1.0);
    let mut tau = layers[0].tau * ratio[0];
    let mut source = planck(layers[0].temperature);
    let mut through = (-DIFFUSIVITY * tau).exp();
    let mut flux = source * (1.0 - through);
    for k in 1..layers.len() {
        if through < 1e-4 {
            break;
        }
        tau += 0.5 * (ratio[k] + ratio[k - 1]) * (layers[k].tau - layers[k - 1].tau);
        let (next, out) = (planck(layers[k].temperature), (-DIFFUSIVITY * tau).exp());
        flux += 0.5 * (source + next) * (through - out);
        (source, through) = (next, out);
    }
    flux + source * through
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::log_grid;

    /// Equivalent width in Angstrom between two wavelengths, against the line through the flux at both.
    fn width(wave: &[f64], flux: &[f64], from: f64, to: f64) -> f64 {
        let at = |w: f64| interp::linear(w, wave, flux);
        let (a, b) = (at(from), at(to));
        wave.windows(2)
            .zip(flux)
            .filter(|(w, _)| w[0] >= from && w[0] < to)
            .map(|(w, f)| (1.0 - f / (a + (b - a) * (w[0] - from) / (to - from))) * (w[1] - w[0]))
            .sum()
    }

    #[test]
    fn the_sun_has_its_lines_and_its_colour() {
        let wave = log_grid(3500.0, 10000.0, 2e-5);
        let flux = flux(&Star::SUN, &wave);
        let sodium = width(&wave, &flux, 5882.0, 5905.0);
        assert!((1.0..2.2).contains(&sodium), "Na D {sodium}");
        let h_alpha = width(&wave, &flux, 6540.0, 6590.0);
        assert!((1.5..5.0).contains(&h_alpha), "H alpha {h_alpha}");
        let triplet = width(&wave, &flux, 8525.0, 8565.0);
        assert!((2.0..4.5).contains(&triplet), "Ca II 8542 {triplet}");
    }

    #[test]
    fn balmer_lines_peak_in_a_stars_and_metals_in_cool_ones() {
        let wave = log_grid(3500.0, 7000.0, 5e-5);
        let h_delta = |teff| {
            let f = flux(&Star { teff, logg: 4.0, feh: 0.0 }, &wave);
            width(&wave, &f, 4040.0, 4163.0)
        };
        let (k, a, b) = (h_delta(5000.0), h_delta(9000.0), h_delta(20000.0));
        assert!(a > 8.0 && a > 1.5 * b && a > k, "{k} {a} {b}");
    }
}
