//! The spectrum of a star.

use super::atmosphere::{LAYERS, Layer, Opacity, Photon, Star, layers, opacities};
use super::exponential::exp;
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
    let mut flux = interp::linear_grid(wave, &knots, &smooth_flux);
    lines::absorb(&scaling, wave, &mut flux);
    let pixel = libm::log(wave[1] / wave[0]) * numerics::LIGHT_KMS;
    smooth(&flux, BROADENING / pixel)
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
fn hydrogen_flux(layers: &[Layer; LAYERS], wave: &[f64]) -> Vec<f64> {
    let opaque = layers.each_ref().map(Opacity::new);
    let continuous = |wave: f64| {
        let mut out = [0.0; LAYERS];
        opacities(&opaque, &Photon::new(wave), &mut out);
        out
    };
    // opacity at 5000 A sets the scale of depth
    let reference = continuous(5000.0);
    let coarse = continuum_knots(wave[0], wave[wave.len() - 1]);
    let continuum: Vec<[f64; LAYERS]> = coarse
        .iter()
        .map(|w| {
            let opacity = continuous(*w);
            std::array::from_fn(|k| opacity[k] / reference[k])
        })
        .collect();
    let mut ratio = interpolated(wave, &coarse, &continuum);
    for line in hydrogen::lines() {
        line.absorption(&opaque, &reference).add(wave, &mut ratio);
    }
    let mut flux = vec![0.0; wave.len()];
    emergent(layers, &ratio, wave, &mut flux);
    flux
}

/// Linear interpolation of ascending `x` at ascending `at`.
fn interpolated(at: &[f64], x: &[f64], y: &[[f64; LAYERS]]) -> Vec<[f64; LAYERS]> {
    let mut k = 0;
    at.iter()
        .map(|&a| {
            while k + 2 < x.len() && x[k + 1] <= a {
                k += 1;
            }
            let part = (a - x[k]) / (x[k + 1] - x[k]);
            std::array::from_fn(|i| y[k][i] + part * (y[k + 1][i] - y[k][i]))
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

numerics::dispatch! {
    /// Integral of the Planck function over the layers, weighted with what they let through; `ratio` is the opacity in
    /// units of that at 5000 A.
    fn emergent(layers: &[Layer; LAYERS], ratio: &[[f64; LAYERS]], wave: &[f64], flux: &mut [f64]) -> ()
        = emergent_flux | emergent_flux
}

#[inline(always)]
fn emergent_flux(layers: &[Layer; LAYERS], ratio: &[[f64; LAYERS]], wave: &[f64], flux: &mut [f64]) {
    for ((flux, ratio), wave) in flux.iter_mut().zip(ratio).zip(wave) {
        let (mut tau, mut source, mut through) = ([0.0; LAYERS], [0.0; LAYERS], [0.0; LAYERS]);
        tau[0] = layers[0].tau * ratio[0];
        for k in 1..LAYERS {
            tau[k] = tau[k - 1] + 0.5 * (ratio[k] + ratio[k - 1]) * (layers[k].tau - layers[k - 1].tau);
        }
        let (scale, exponent) = (1e20 / (wave * wave * wave * wave * wave), HC_OVER_K / wave);
        for k in 0..LAYERS {
            source[k] = scale / (exp(exponent / layers[k].temperature) - 1.0);
            through[k] = exp(-DIFFUSIVITY * tau[k]);
        }
        let mut sum = source[0] * (1.0 - through[0]) + source[LAYERS - 1] * through[LAYERS - 1];
        for k in 1..LAYERS {
            sum += 0.5 * (source[k - 1] + source[k]) * (through[k - 1] - through[k]);
        }
        *flux = sum;
    }
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
