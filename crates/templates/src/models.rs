//! Model spectra of the targets that the simulator observes.

use crate::builtin::galaxy::Galaxy;
use crate::builtin::{galaxy, pca, quasar, star};
use crate::synthesis::spectrum;
use crate::{Template, load};
use datamodel::Result;
use std::path::Path;

/// Observed wavelengths that a model must cover, Angstrom.
const OBSERVED: (f64, f64) = (3500.0, 10000.0);
/// Rows of coefficients that are tried before a spectrum's negative pixels are set to 0.
const TRIES: usize = 20;

/// A class of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bright galaxies of all sorts.
    Bgs,
    /// Luminous red galaxies.
    Lrg,
    /// Emission-line galaxies.
    Elg,
    /// Quasars.
    Qso,
    /// Stars of any type.
    Star,
    /// Standard stars: F type.
    Standard,
}

/// A spectrum at rest; the intergalactic medium is not in it (see [`crate::igm::transmission`]).
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpectrum {
    /// Vacuum Angstrom, ascending.
    pub wave: Vec<f64>,
    /// Per Angstrom, arbitrary units, not negative.
    pub flux: Vec<f64>,
    /// GALAXY, QSO or STAR.
    pub spectype: String,
    /// Type of a star, LOZ or HIZ of a quasar from files, else empty.
    pub subtype: String,
}

impl ModelSpectrum {
    /// Redshifts between which the spectrum covers 3500-10000 A observed.
    pub fn redshifts(&self) -> (f64, f64) {
        let (first, last) = (self.wave[0], self.wave[self.wave.len() - 1]);
        (OBSERVED.1 / last - 1.0, OBSERVED.0 / first - 1.0)
    }
}

/// Where spectra are drawn from.
#[derive(Debug, Clone)]
pub struct Library {
    files: Vec<Family>,
}

/// A template whose spectra are drawn.
#[derive(Debug, Clone)]
struct Family {
    template: Template,
    /// Of a galaxy: the rows sorted by the strength of the 4000 A break, and by that of [O II].
    by_break: Vec<usize>,
    by_emission: Vec<usize>,
}

impl Library {
    /// The families that the built-in bases are made of.
    pub fn builtin() -> Self {
        Self { files: Vec::new() }
    }

    /// Redrock's template files of a folder: combinations with the coefficients in their HDU ARCHETYPE_COEFF,
    /// where they have none the mean with small multiples of the other vectors. A class without a file is
    /// drawn from the built-in families.
    ///
    /// # Errors
    /// See [`load`].
    pub fn from_folder(dir: &Path) -> Result<Self> {
        let templates = load(&[dir.to_path_buf()])?;
        Ok(Self { files: templates.into_iter().map(Family::new).collect() })
    }

    /// A spectrum of the kind; `uniform` gives numbers in [0, 1).
    pub fn draw(&self, kind: Kind, uniform: &mut dyn FnMut() -> f64) -> ModelSpectrum {
        let wanted = |f: &&Family| match kind {
            Kind::Bgs | Kind::Lrg | Kind::Elg => f.template.spectype == "GALAXY",
            Kind::Qso => f.template.spectype == "QSO",
            Kind::Star => f.template.spectype == "STAR" && f.template.subtype != "CV",
            Kind::Standard => f.template.spectype == "STAR" && f.template.subtype == "F",
        };
        let families: Vec<&Family> = self.files.iter().filter(wanted).collect();
        match pick(&families, uniform) {
            Some(family) => family.draw(kind, uniform),
            None => draw_builtin(kind, uniform),
        }
    }
}

fn pick<'a, T>(list: &'a [T], uniform: &mut dyn FnMut() -> f64) -> Option<&'a T> {
    let i = (uniform() * list.len() as f64) as usize;
    list.get(i.min(list.len().saturating_sub(1)))
}

/// A member of the families that the built-in bases are made of.
fn draw_builtin(kind: Kind, uniform: &mut dyn FnMut() -> f64) -> ModelSpectrum {
    let galaxy = |g: Galaxy| model(galaxy::wavelengths().to_vec(), g.spectrum(), "GALAXY", "");
    match kind {
        Kind::Lrg => galaxy(Galaxy::passive(uniform)),
        Kind::Elg => {
            let vigour = 0.6 + 0.4 * uniform();
            galaxy(Galaxy::star_forming(vigour, uniform))
        }
        Kind::Bgs if uniform() < 0.35 => galaxy(Galaxy::passive(uniform)),
        Kind::Bgs => {
            let vigour = 0.75 * uniform();
            galaxy(Galaxy::star_forming(vigour, uniform))
        }
        Kind::Qso => model(quasar::wavelengths().to_vec(), quasar::Quasar::draw(uniform).spectrum(), "QSO", ""),
        Kind::Star | Kind::Standard => {
            // a high-latitude field: most stars are near the turn-off or cooler
            const FIELD: [&str; 12] = ["F", "F", "F", "G", "G", "G", "K", "K", "M", "M", "A", "WD"];
            let subtype = match kind {
                Kind::Star => pick(&FIELD, uniform).copied().unwrap_or("G"),
                _ => "F",
            };
            let wave = star::wavelengths();
            let flux = spectrum::flux(&star::draw(subtype, uniform), &wave);
            model(wave, flux, "STAR", subtype)
        }
    }
}

fn model(wave: Vec<f64>, flux: Vec<f64>, spectype: &str, subtype: &str) -> ModelSpectrum {
    let flux = pca::normalised(flux.into_iter().map(|f| f.max(0.0)).collect());
    ModelSpectrum { wave, flux, spectype: spectype.to_string(), subtype: subtype.to_string() }
}

impl Family {
    fn new(template: Template) -> Self {
        let mean = |from: f64, to: f64| -> Vec<f64> {
            let (a, b) = (template.wave.partition_point(|w| *w < from), template.wave.partition_point(|w| *w < to));
            let n = (b - a).max(1) as f64;
            let vectors: Vec<f64> =
                template.basis.rows().into_iter().map(|r| r.slice(ndarray::s![a..b]).sum() / n).collect();
            template.coefficients.rows().into_iter().map(|c| c.iter().zip(&vectors).map(|(a, b)| a * b).sum()).collect()
        };
        let sorted = |key: Vec<f64>| {
            let mut order: Vec<usize> = (0..key.len()).collect();
            order.sort_by(|i, j| key[*i].total_cmp(&key[*j]));
            order
        };
        let ratio = |a: Vec<f64>, b: &[f64]| a.into_iter().zip(b).map(|(a, b)| a / b.abs().max(1e-300)).collect();
        let blue = mean(3850.0, 3950.0);
        let by_break = sorted(ratio(mean(4000.0, 4100.0), &blue));
        let by_emission = sorted(ratio(mean(3722.0, 3735.0), &mean(3740.0, 3820.0)));
        Self { template, by_break, by_emission }
    }

    fn draw(&self, kind: Kind, uniform: &mut dyn FnMut() -> f64) -> ModelSpectrum {
        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..TRIES {
            let flux = self.combine(&self.weights(kind, uniform));
            let total: f64 = flux.iter().sum();
            let negative: f64 = -flux.iter().filter(|f| **f < 0.0).sum::<f64>() / total.abs().max(1e-300);
            let negative = if total > 0.0 { negative } else { f64::INFINITY };
            if best.as_ref().is_none_or(|(least, _)| negative < *least) {
                best = Some((negative, flux));
            }
            if negative < 1e-4 {
                break;
            }
        }
        let flux = best.map_or(vec![1.0; self.template.wave.len()], |(_, flux)| flux);
        model(self.template.wave.clone(), flux, &self.template.spectype, &self.template.subtype)
    }

    /// Coefficients of a member: of a galaxy that fits the kind.
    fn weights(&self, kind: Kind, uniform: &mut dyn FnMut() -> f64) -> Vec<f64> {
        let n = self.template.coefficients.nrows();
        if n == 0 {
            return self.small_multiples(uniform);
        }
        let row = match kind {
            Kind::Lrg => self.by_break[n - 1 - (0.3 * uniform() * n as f64) as usize],
            Kind::Elg => self.by_emission[n - 1 - (0.4 * uniform() * n as f64) as usize],
            _ => ((uniform() * n as f64) as usize).min(n - 1),
        };
        self.template.coefficients.row(row).to_vec()
    }

    /// The first vector, upright, with up to a tenth (of its root mean square) of each of the others.
    fn small_multiples(&self, uniform: &mut dyn FnMut() -> f64) -> Vec<f64> {
        let rms = |k: usize| self.template.basis.row(k).iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-300);
        let upright = self.template.basis.row(0).sum().signum();
        let others = (1..self.template.basis.nrows()).map(|k| 0.1 * (2.0 * uniform() - 1.0) * rms(0) / rms(k));
        std::iter::once(upright).chain(others).collect()
    }

    fn combine(&self, weights: &[f64]) -> Vec<f64> {
        let mut flux = vec![0.0; self.template.wave.len()];
        for (row, weight) in self.template.basis.rows().into_iter().zip(weights) {
            flux.iter_mut().zip(row).for_each(|(f, b)| *f += weight * b);
        }
        flux
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::Halton;

    #[test]
    fn every_kind_covers_the_spectrograph_without_negative_flux() {
        let library = Library::builtin();
        let mut halton = Halton::new();
        for (kind, z) in [
            (Kind::Bgs, 0.05..0.5),
            (Kind::Lrg, 0.4..1.0),
            (Kind::Elg, 0.6..1.6),
            (Kind::Qso, 0.5..3.5),
            (Kind::Star, 0.0..0.0),
            (Kind::Standard, 0.0..0.0),
        ] {
            for _ in 0..4 {
                let m = library.draw(kind, &mut halton.next_point());
                let (low, high) = m.redshifts();
                assert!(low <= z.start && high >= z.end, "{kind:?}: {low} {high}");
                assert!(m.flux.iter().all(|f| f.is_finite() && *f >= 0.0), "{kind:?}");
                assert_eq!(m.wave.len(), m.flux.len());
            }
        }
    }
}
