//! Stellar populations of one age: a main sequence with Kroupa's initial mass function and a parametrised giant
//! branch.

use super::atmosphere::Star;
use super::{HC_OVER_K, spectrum};
use crate::parallel;

/// Main sequence of solar metallicity: mass in Msun, effective temperature in K, log10 L/Lsun (Pecaut &
/// Mamajek 2013, ApJS 208, 9; O stars: Martins et al. 2005, A&A 436, 1049).
const MAIN_SEQUENCE: [(f64, f64, f64); 19] = [
    (0.10, 2750.0, -3.10),
    (0.20, 3200.0, -2.25),
    (0.40, 3500.0, -1.65),
    (0.57, 3800.0, -1.16),
    (0.70, 4400.0, -0.77),
    (0.80, 5050.0, -0.47),
    (0.90, 5400.0, -0.25),
    (1.00, 5770.0, 0.01),
    (1.15, 6100.0, 0.28),
    (1.35, 6550.0, 0.57),
    (1.60, 7300.0, 0.88),
    (2.00, 8800.0, 1.38),
    (3.00, 11800.0, 2.05),
    (5.00, 16000.0, 2.85),
    (8.00, 21000.0, 3.50),
    (13.0, 27000.0, 4.20),
    (20.0, 33500.0, 4.80),
    (35.0, 39500.0, 5.40),
    (60.0, 44000.0, 5.85),
];

/// Share of the bolometric light that stars past the main sequence give, against log10 of the age in years (Renzini &
/// Buzzoni 1986; Maraston 1998, MNRAS 300, 872).
const EVOLVED_SHARE: [(f64, f64); 8] =
    [(6.0, 0.0), (6.6, 0.05), (7.0, 0.25), (8.0, 0.35), (8.7, 0.45), (9.1, 0.58), (9.5, 0.60), (10.2, 0.66)];

/// Shares of the light of evolved stars by temperature (K): old populations (horizontal clump and red giant
/// branch), intermediate ones (clump and asymptotic branch), young ones (blue loops and red supergiants).
const OLD: [(f64, f64); 6] =
    [(5200.0, 0.12), (4800.0, 0.33), (4400.0, 0.25), (4000.0, 0.18), (3700.0, 0.08), (3400.0, 0.04)];
const INTERMEDIATE: [(f64, f64); 5] = [(5200.0, 0.15), (4900.0, 0.35), (4500.0, 0.20), (4000.0, 0.15), (3500.0, 0.15)];
const YOUNG: [(f64, f64); 4] = [(12000.0, 0.25), (8000.0, 0.25), (5000.0, 0.15), (3700.0, 0.35)];

/// Temperatures of the stars that populations are made of.
const DWARFS: [f64; 16] = [
    3000.0, 3500.0, 4000.0, 4400.0, 4800.0, 5300.0, 5800.0, 6300.0, 7000.0, 8000.0, 9500.0, 12000.0, 16000.0, 22000.0,
    30000.0, 44000.0,
];
const GIANTS: [(f64, f64); 6] =
    [(3400.0, 0.7), (3700.0, 1.1), (4000.0, 1.6), (4400.0, 2.1), (4800.0, 2.6), (5200.0, 3.3)];

/// Spectra of dwarfs and giants of one metallicity, each for one solar luminosity.
pub struct Stars {
    feh: f64,
    dwarfs: Vec<Vec<f64>>,
    giants: Vec<Vec<f64>>,
}

impl Stars {
    /// Computes them on a logarithmic grid of vacuum Angstrom.
    pub fn new(feh: f64, wave: &[f64]) -> Self {
        let per_luminosity = |teff: f64, logg: f64| {
            // integral of the Planck function in the units of `planck`: (T k / hc)^4 pi^4 / 15
            let bolometric = 1e20 * (teff / HC_OVER_K).powi(4) * 6.4939;
            let mut flux = spectrum::flux(&Star { teff, logg, feh }, wave);
            flux.iter_mut().for_each(|f| *f /= bolometric);
            flux
        };
        Self {
            feh,
            dwarfs: parallel::map(&DWARFS, |t| per_luminosity(*t, if *t < 4000.0 { 4.8 } else { 4.2 })),
            giants: parallel::map(&GIANTS, |(t, g)| per_luminosity(*t, *g)),
        }
    }

    /// Spectrum of a population of the given age in years, for one solar mass of stars born.
    pub fn population(&self, age: f64) -> Vec<f64> {
        let mut dwarfs = vec![0.0; DWARFS.len()];
        let mut giants = vec![0.0; GIANTS.len()];
        let (mut mass, mut light) = (0.0, 0.0);
        const STEPS: usize = 300;
        for k in 0..STEPS {
            let m = 0.1 * libm::pow(600.0, (k as f64 + 0.5) / STEPS as f64);
            let number = imf(m) * m; // per interval of ln m
            mass += number * m;
            let (teff, luminosity) = main_sequence(m);
            let lifetime = 1e10 * m / luminosity;
            if lifetime < age {
                continue;
            }
            // a star leaves the zero-age sequence brighter and cooler (Iben 1967)
            let evolved = age / lifetime;
            let l = number * luminosity * (1.0 + evolved);
            light += l;
            // metal-poor stars are hotter at the same mass
            deposit(&mut dwarfs, &DWARFS, teff * (1.0 - 0.06 * evolved - 0.04 * self.feh), l);
        }
        let share = interpolate(&EVOLVED_SHARE, libm::log10(age.max(1e6)));
        let evolved = light * share / (1.0 - share);
        let branch: &[(f64, f64)] = match age {
            a if a > 1.5e9 => &OLD,
            a if a > 1.5e8 => &INTERMEDIATE,
            _ => &YOUNG,
        };
        let temperatures = GIANTS.map(|(t, _)| t);
        for &(teff, part) in branch {
            let t = teff * (1.0 - 0.05 * self.feh);
            if t > 5500.0 {
                deposit(&mut dwarfs, &DWARFS, t, evolved * part);
            } else {
                deposit(&mut giants, &temperatures, t, evolved * part);
            }
        }
        let mut out = vec![0.0; self.dwarfs[0].len()];
        for (weight, spectrum) in dwarfs.iter().zip(&self.dwarfs).chain(giants.iter().zip(&self.giants)) {
            if *weight > 0.0 {
                out.iter_mut().zip(spectrum).for_each(|(o, s)| *o += weight / mass * s);
            }
        }
        out
    }
}

/// Shares `light` between the two temperatures of an ascending list that bracket `teff`.
fn deposit(weights: &mut [f64], temperatures: &[f64], teff: f64, light: f64) {
    let last = temperatures.len() - 1;
    let t = teff.clamp(temperatures[0], temperatures[last]);
    let k = temperatures.partition_point(|x| *x <= t).clamp(1, last);
    let part = (t - temperatures[k - 1]) / (temperatures[k] - temperatures[k - 1]);
    weights[k - 1] += (1.0 - part) * light;
    weights[k] += part * light;
}

/// Stars per unit mass (Kroupa 2001, MNRAS 322, 231), not normalised.
fn imf(mass: f64) -> f64 {
    if mass < 0.5 { 2.0 * libm::pow(mass, -1.3) } else { libm::pow(mass, -2.3) }
}

/// Effective temperature in K and luminosity in Lsun of a star on the main sequence.
fn main_sequence(mass: f64) -> (f64, f64) {
    let table = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
        MAIN_SEQUENCE.iter().map(|row| (libm::log(row.0), pick(row))).collect()
    };
    let teff = libm::exp(interpolate(&table(|r| libm::log(r.1)), libm::log(mass)));
    (teff, libm::pow(10.0, interpolate(&table(|r| r.2), libm::log(mass))))
}

fn interpolate(table: &[(f64, f64)], at: f64) -> f64 {
    let (x, y): (Vec<f64>, Vec<f64>) = table.iter().copied().unzip();
    numerics::interp::linear(at, &x, &y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::log_grid;

    #[test]
    fn the_4000_angstrom_break_grows_with_age() {
        let wave = log_grid(3500.0, 5000.0, 1e-4);
        let stars = Stars::new(0.0, &wave);
        // ratio of mean f_nu in 4000-4100 to that in 3850-3950 A (Balogh et al. 1999)
        let d4000 = |age: f64| {
            let s = stars.population(age);
            let mean = |a: f64, b: f64| {
                let inside: Vec<f64> =
                    wave.iter().zip(&s).filter(|(w, _)| **w > a && **w < b).map(|(w, f)| f * w * w).collect();
                inside.iter().sum::<f64>() / inside.len() as f64
            };
            mean(4000.0, 4100.0) / mean(3850.0, 3950.0)
        };
        let (young, middle, old) = (d4000(1e7), d4000(1e9), d4000(1e10));
        println!("D4000 {young:.3} {middle:.3} {old:.3}");
        assert!((0.85..1.2).contains(&young), "10 Myr {young}");
        assert!((1.1..1.6).contains(&middle), "1 Gyr {middle}");
        assert!((1.6..2.2).contains(&old), "10 Gyr {old}");
    }
}
