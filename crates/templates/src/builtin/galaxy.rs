//! Galaxies: sums of stellar populations, dust and ionised gas.

use super::nebula::{Nebula, add_lines};
use super::{Halton, SOURCE, VERSION, pca};
use crate::synthesis::population::Stars;
use crate::synthesis::{log_grid, smooth};
use crate::template::default_redshifts;
use crate::{Igm, Method, Template, dust, parallel};
use ndarray::{Array2, Axis, concatenate};
use numerics::LIGHT_KMS;
use rayon::prelude::*;
use std::sync::OnceLock;

/// First and last rest wavelength in Angstrom (z = -0.005 to 1.7 in 3500-10400 A) and step in log10.
const GRID: (f64, f64, f64) = (1100.0, 10900.0, 5e-5);
/// Ages of the populations in years, and metallicities.
const AGES: [f64; 10] = [4e6, 1.2e7, 4e7, 1.2e8, 3.5e8, 9e8, 1.8e9, 3.5e9, 6.5e9, 1.2e10];
const METALS: [f64; 2] = [-0.5, 0.2];
/// Members of the family of the basis, and their velocity dispersion in km/s.
const MEMBERS: usize = 48;
const DISPERSION: f64 = 150.0;
/// Vectors of the basis: stars and dust, gas.
const CONTINUUM_VECTORS: usize = 5;
const GAS_VECTORS: usize = 3;

/// Interstellar lines of the ultraviolet: vacuum Angstrom and equivalent width in Angstrom in a star-forming
/// galaxy (Shapley et al. 2003, ApJ 588, 65; Weiner et al. 2009, ApJ 692, 187).
const INTERSTELLAR: [(f64, f64); 20] = [
    (1260.42, 1.6),
    (1303.5, 2.2),
    (1334.53, 1.7),
    (1393.76, 1.4),
    (1402.77, 1.0),
    (1526.71, 1.7),
    (1548.20, 1.5),
    (1550.77, 1.0),
    (1608.45, 1.2),
    (1670.79, 1.5),
    (1854.72, 1.0),
    (1862.79, 0.8),
    (2344.21, 1.8),
    (2374.46, 1.4),
    (2382.77, 1.9),
    (2586.65, 1.7),
    (2600.17, 2.1),
    (2796.35, 1.8),
    (2803.53, 1.5),
    (2852.96, 0.6),
];

/// Populations on a wavelength grid, the same in every program.
struct Populations {
    wave: Vec<f64>,
    /// ln(transmission) of dust with E(B-V) = 1.
    dust: Vec<f64>,
    /// `[metallicity][age]`
    spectra: [Vec<Vec<f64>>; 2],
}

fn populations() -> &'static Populations {
    static SHARED: OnceLock<Populations> = OnceLock::new();
    SHARED.get_or_init(|| {
        let wave = log_grid(GRID.0, GRID.1, GRID.2);
        let mut interstellar = vec![0.0; wave.len()];
        add_lines(&wave, &mut interstellar, &INTERSTELLAR, 1.0, 120.0);
        let transmitted: Vec<f64> = interstellar.iter().map(|depth| libm::exp(-depth)).collect();
        let spectra = METALS.map(|feh| {
            let stars = Stars::new(feh, &wave);
            parallel::map(&AGES, |&age| {
                let mut spectrum = stars.population(age);
                if age < 1e9 {
                    spectrum.iter_mut().zip(&transmitted).for_each(|(s, t)| *s *= t);
                }
                spectrum
            })
        });
        let dust = wave.iter().map(|w| dust::ln_transmission(*w)).collect();
        Populations { wave, dust, spectra }
    })
}

/// Wavelengths of all galaxy spectra, vacuum Angstrom at rest.
pub(crate) fn wavelengths() -> &'static [f64] {
    &populations().wave
}

/// What a galaxy is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Galaxy {
    /// Time since the first stars formed and e-folding time of their formation, years.
    pub age: f64,
    pub decay: f64,
    /// Share of the metal-rich stars.
    pub rich: f64,
    /// Extra mass formed in the last 30 Myr, relative to the total.
    pub burst: f64,
    /// Colour excess of the stars, mag.
    pub ebv: f64,
    /// Velocity dispersion of the stars, km/s.
    pub sigma: f64,
    /// Equivalent width of H beta in emission, Angstrom.
    pub h_beta: f64,
    pub nebula: Nebula,
    /// Velocity width of the gas, km/s.
    pub gas_sigma: f64,
}

impl Galaxy {
    /// An old galaxy with little gas.
    pub(crate) fn passive(uniform: &mut dyn FnMut() -> f64) -> Self {
        Self {
            age: 3e9 + 8.5e9 * uniform(),
            decay: 2e8 + 7e8 * uniform(),
            rich: 0.3 + 0.7 * uniform(),
            burst: 0.0,
            ebv: 0.1 * uniform(),
            sigma: 140.0 + 130.0 * uniform(),
            h_beta: 0.5 * uniform().powi(2),
            nebula: Nebula::active(),
            gas_sigma: 150.0,
        }
    }

    /// A galaxy that forms stars; `vigour` from 0 (quiet spiral) to 1 (starburst).
    pub(crate) fn star_forming(vigour: f64, uniform: &mut dyn FnMut() -> f64) -> Self {
        let richness = (1.0 - 0.7 * vigour + 0.5 * (uniform() - 0.5)).clamp(0.0, 1.0);
        let ebv = 0.4 * libm::pow(uniform(), 1.5);
        let nebula = Nebula { ebv, doublet: 1.1 + 0.4 * uniform(), ..Nebula::star_forming(richness) };
        Self {
            age: 1.5e9 + 9e9 * uniform(),
            decay: 1.5e9 * libm::pow(10.0, uniform()),
            rich: 0.2 + 0.7 * uniform() * richness,
            burst: 0.03 * vigour * uniform().powi(2),
            ebv: 0.5 * ebv,
            sigma: 60.0 + 80.0 * uniform(),
            h_beta: 1.5 * libm::pow(30.0, 0.75 * vigour + 0.25 * uniform()),
            nebula,
            gas_sigma: 45.0 + 60.0 * uniform(),
        }
    }

    /// Spectrum of the stars at rest, per Angstrom.
    fn stars(&self) -> Vec<f64> {
        let p = populations();
        let mut out = vec![0.0; p.wave.len()];
        for (k, weight) in self.masses().into_iter().enumerate().filter(|(_, w)| *w > 0.0) {
            for (share, spectra) in [1.0 - self.rich, self.rich].into_iter().zip(&p.spectra) {
                out.iter_mut().zip(&spectra[k]).for_each(|(o, s)| *o += weight * share * s);
            }
        }
        dust::redden(&mut out, self.ebv, &p.dust);
        out
    }

    /// Spectrum of stars and gas.
    pub(crate) fn spectrum(&self) -> Vec<f64> {
        let wave = wavelengths();
        let mut spectrum = disperse(&self.stars(), self.sigma);
        let at = wave.partition_point(|w| *w < 4862.68);
        let continuum = spectrum[at - 40..at + 40].iter().sum::<f64>() / 80.0;
        // the width is measured behind the dust
        let h_beta = self.h_beta * continuum / dust::transmission(self.nebula.ebv, 4862.68);
        self.nebula.add(wave, &mut spectrum, h_beta, self.gas_sigma);
        spectrum
    }

    /// Mass formed in the interval of time around each of [`AGES`], exponentially declining.
    fn masses(&self) -> Vec<f64> {
        let edge = |k: usize| match k {
            0 => 0.0,
            k if k == AGES.len() => self.age,
            k => (AGES[k - 1] * AGES[k]).sqrt().min(self.age),
        };
        let formed = |ago: f64| 1.0 - libm::exp(-(self.age - ago) / self.decay);
        let total = formed(0.0);
        let mut masses: Vec<f64> = (0..AGES.len())
            .map(|k| {
                let (young, old) = (edge(k), if k + 1 == AGES.len() { self.age } else { edge(k + 1) });
                ((formed(young) - formed(old)) / total).max(0.0)
            })
            .collect();
        masses[0] += 0.3 * self.burst;
        masses[1] += 0.7 * self.burst;
        masses
    }
}

/// A spectrum with a velocity dispersion of `sigma` km/s.
fn disperse(spectrum: &[f64], sigma: f64) -> Vec<f64> {
    smooth(spectrum, sigma / (GRID.2 * std::f64::consts::LN_10 * LIGHT_KMS))
}

/// The basis: principal components of galaxies without gas, and of the spectra of gas alone.
pub(crate) fn template() -> Template {
    // before there are several jobs that would wait for them
    populations();
    let (continuum, gas) = rayon::join(continuum, gas);
    let basis = concatenate(Axis(0), &[continuum.view(), gas.view()]).unwrap_or(continuum);
    Template {
        spectype: "GALAXY".to_string(),
        subtype: String::new(),
        version: VERSION.to_string(),
        source: SOURCE.to_string(),
        wave: wavelengths().to_vec(),
        basis,
        redshifts: default_redshifts("GALAXY"),
        igm: Igm::None,
        method: Method::Pca,
        coefficients: Array2::zeros((0, 0)),
    }
}

/// Principal components of galaxies without gas.
fn continuum() -> Array2<f64> {
    let mut halton = Halton::new();
    let mut member = |i: usize| {
        let mut u = halton.next_point();
        match i % 3 {
            0 => Galaxy::passive(&mut u),
            _ => {
                let vigour = u();
                Galaxy::star_forming(vigour, &mut u)
            }
        }
    };
    let members: Vec<Galaxy> = (0..MEMBERS).map(&mut member).collect();
    let family: Vec<Vec<f64>> = members.par_iter().map(Galaxy::stars).collect();
    let mut vectors = pca::components(&family, CONTINUUM_VECTORS);
    for mut row in vectors.rows_mut() {
        let dispersed = disperse(&row.to_vec(), DISPERSION);
        row.iter_mut().zip(dispersed).for_each(|(r, d)| *r = d);
    }
    vectors
}

/// Principal components of the emission of gas.
fn gas() -> Array2<f64> {
    let wave = wavelengths();
    let spectrum = |nebula: Nebula, sigma: f64| {
        let mut s = vec![0.0; wave.len()];
        nebula.add(wave, &mut s, 1.0, sigma);
        s
    };
    let mut family = vec![spectrum(Nebula::active(), 120.0)];
    for i in 0..8 {
        let richness = f64::from(i) / 7.0;
        for ebv in [0.0, 0.3] {
            family.push(spectrum(Nebula { ebv, ..Nebula::star_forming(richness) }, 75.0));
        }
    }
    pca::components(&family, GAS_VECTORS)
}
