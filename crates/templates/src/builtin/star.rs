//! Stars: bases by spectral type, and the grid of standard stars.

use super::{Halton, SOURCE, VERSION, pca};
use crate::synthesis::atmosphere::Star;
use crate::synthesis::{log_grid, spectrum};
use crate::template::default_redshifts;
use crate::{Igm, Method, StarGrid, Template, dust};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::ops::Range;

/// First and last wavelength of the bases in Angstrom and step in log10.
const GRID: (f64, f64, f64) = (3350.0, 10500.0, 3e-5);
/// The same of the grid of standard stars.
const STANDARDS: (f64, f64, f64) = (3500.0, 10000.0, 2e-5);
/// Stars of a type that its basis is made of, and vectors.
const MEMBERS: usize = 8;
const VECTORS: usize = 5;
/// Largest colour excess of a member, mag.
const REDDENING: f64 = 0.6;

/// A spectral type: name in redrock's notation, ranges of effective temperature (K), log g and [Fe/H].
struct Type {
    name: &'static str,
    teff: Range<f64>,
    logg: Range<f64>,
    feh: Range<f64>,
}

/// Temperatures of the types of dwarfs: Pecaut & Mamajek 2013; white dwarfs: Gianninas et al. 2011.
const TYPES: [Type; 7] = [
    Type { name: "A", teff: 7400.0..10500.0, logg: 3.5..4.4, feh: -1.5..0.2 },
    Type { name: "B", teff: 10500.0..26000.0, logg: 3.6..5.4, feh: -0.5..0.0 },
    Type { name: "F", teff: 6000.0..7400.0, logg: 3.6..4.5, feh: -2.0..0.2 },
    Type { name: "G", teff: 5200.0..6000.0, logg: 3.6..4.6, feh: -1.5..0.3 },
    Type { name: "K", teff: 3950.0..5200.0, logg: 3.0..4.7, feh: -1.0..0.3 },
    Type { name: "M", teff: 2700.0..3950.0, logg: 4.6..5.0, feh: -0.5..0.2 },
    Type { name: "WD", teff: 7000.0..40000.0, logg: 7.7..8.3, feh: -4.0..-4.0 },
];

/// Wavelengths of all single stars.
pub(crate) fn wavelengths() -> Vec<f64> {
    log_grid(GRID.0, GRID.1, GRID.2)
}

/// A star of the type of that name, and its name; an unknown name gives an F star.
pub(crate) fn draw(name: &str, uniform: &mut dyn FnMut() -> f64) -> Star {
    let kind = TYPES.iter().find(|t| t.name == name).unwrap_or(&TYPES[2]);
    kind.draw(uniform)
}

impl Type {
    fn draw(&self, uniform: &mut dyn FnMut() -> f64) -> Star {
        let mut within = |range: &Range<f64>| range.start + (range.end - range.start) * uniform();
        // equal numbers in equal intervals of log(Teff)
        let teff = libm::exp(within(&(libm::log(self.teff.start)..libm::log(self.teff.end))));
        Star { teff, logg: within(&self.logg), feh: within(&self.feh) }
    }
}

impl Type {
    /// The spectrum of a star of the type behind some dust: colours are less certain than lines.
    /// `reddening` is ln(transmission) of dust with E(B-V) = 1.
    fn member(&self, wave: &[f64], reddening: &[f64], uniform: &mut dyn FnMut() -> f64) -> Vec<f64> {
        let mut flux = spectrum::flux(&self.draw(uniform), wave);
        let ebv = REDDENING * uniform();
        dust::redden(&mut flux, ebv, reddening);
        flux
    }
}

/// A basis for each type.
pub(crate) fn templates() -> Vec<Template> {
    let wave = wavelengths();
    let reddening: Vec<f64> = wave.iter().map(|w| dust::ln_transmission(*w)).collect();
    TYPES
        .par_iter()
        .map(|kind| {
            let mut halton = Halton::new();
            let family: Vec<Vec<f64>> =
                (0..MEMBERS).map(|_| kind.member(&wave, &reddening, &mut halton.next_point())).collect();
            Template {
                spectype: "STAR".to_string(),
                subtype: kind.name.to_string(),
                version: VERSION.to_string(),
                source: SOURCE.to_string(),
                wave: wave.clone(),
                basis: pca::components(&family, VECTORS),
                redshifts: default_redshifts("STAR"),
                igm: Igm::None,
                method: Method::Pca,
                coefficients: Array2::zeros((0, 0)),
            }
        })
        .collect()
}

/// The grid of standard stars, see [`StarGrid::builtin`].
pub(crate) fn grid() -> StarGrid {
    let wave = log_grid(STANDARDS.0, STANDARDS.1, STANDARDS.2);
    let mut stars = Vec::new();
    for teff in [5000.0, 5500.0, 6000.0, 6500.0, 7000.0, 7500.0, 8000.0, 8500.0] {
        for logg in [3.0, 3.5, 4.0, 4.5] {
            for feh in [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5] {
                stars.push(Star { teff, logg, feh });
            }
        }
    }
    let mut flux = Array2::zeros((stars.len(), wave.len()));
    flux.axis_iter_mut(Axis(0)).into_par_iter().zip(&stars).for_each(|(mut row, star)| {
        let spectrum = pca::normalised(spectrum::flux(star, &wave));
        row.iter_mut().zip(spectrum).for_each(|(r, s)| *r = s);
    });
    StarGrid {
        wave,
        flux,
        teff: stars.iter().map(|s| s.teff).collect(),
        logg: stars.iter().map(|s| s.logg).collect(),
        feh: stars.iter().map(|s| s.feh).collect(),
    }
}
