//! What the fibres look at: sky, standard stars, galaxies, quasars and stars with the magnitudes of a survey.

use crate::{
    instrument::Instrument,
    random,
    spectra::{self, Spectra},
};
use datamodel::{FIBERS_PER_SPECTROGRAPH, mask::target};
use numerics::LIGHT_KMS;
use numerics::resample;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use templates::{
    dust,
    filters::{DECAM_G, DECAM_R, DECAM_Z, Filter},
};

/// Radial velocities of stars scatter by this much, km/s.
const STELLAR_KMS: f64 = 80.0;
/// Zero point of nanomaggies.
const NANOMAGGY: f64 = 22.5;

/// Class of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Blank sky.
    Sky,
    /// F star whose flux is known.
    Standard,
    /// Galaxy of the bright survey.
    Bgs,
    /// Luminous red galaxy.
    Lrg,
    /// Emission-line galaxy.
    Elg,
    /// Quasar.
    Qso,
    /// Star of the Milky Way survey.
    Star,
    /// Nothing: the fibre is broken, and known to be.
    Unassigned,
}

/// Shares of the classes among the science targets.
const MIX: [(Class, f64); 5] =
    [(Class::Bgs, 0.32), (Class::Lrg, 0.24), (Class::Elg, 0.10), (Class::Qso, 0.18), (Class::Star, 0.16)];

/// One fibre's target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its class.
    pub class: Class,
    /// Unique number.
    pub targetid: i64,
    /// GALAXY, QSO, STAR, SKY or NONE.
    pub spectype: String,
    /// Subtype of a star.
    pub subtype: String,
    /// Redshift.
    pub z: f64,
    /// Degrees.
    pub ra: f64,
    /// Degrees.
    pub dec: f64,
    /// Position of the fibre on the focal plane, mm.
    pub focal: (f64, f64),
    /// Reddening in magnitudes.
    pub ebv: f64,
    /// True AB magnitudes above the atmosphere in g, r, z, dust included; infinite for the sky.
    pub mags: [f64; 3],
    /// Above the atmosphere: vacuum Angstrom, 1e-17 erg/s/cm2/Angstrom; empty for the sky.
    wave: Vec<f64>,
    flux: Vec<f64>,
}

/// A field of the sky and its targets, one a fibre of all spectrographs simulated.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Its number.
    pub id: i64,
    /// Centre, degrees.
    pub centre: (f64, f64),
    /// In the order of the fibres.
    pub targets: Vec<Target>,
}

impl Tile {
    /// Draws a tile for the fibres of `spectrographs`; `dead` fibres get no sky or standard star.
    pub fn draw(
        instrument: &Instrument,
        spectrographs: &[u8],
        dead: &[bool],
        spectra: &Spectra,
        id: i64,
        seed: u64,
    ) -> Self {
        let mut rng = random::stream(seed, "tile", &[id as u64]);
        let centre = (rng.random_range(100.0..300.0f64), rng.random_range(0.0..35.0f64));
        let nfiber = instrument.nfiber();
        let mut targets = Vec::new();
        for (s, &spectrograph) in spectrographs.iter().enumerate() {
            let classes = assign(instrument, &dead[s * nfiber..(s + 1) * nfiber], &mut rng);
            for (row, class) in classes.into_iter().enumerate() {
                let fiber = i64::from(spectrograph) * FIBERS_PER_SPECTROGRAPH as i64 + row as i64;
                let focal = position(instrument, spectrograph, &mut rng);
                let mut target = draw_target(class, spectra, &mut rng);
                target.targetid = if class == Class::Unassigned { -1 } else { 1 } * (id * 10_000 + fiber);
                target.focal = focal;
                let arcsec = 1000.0 / instrument.telescope.plate_scale_um_arcsec;
                target.dec = centre.1 + focal.1 * arcsec / 3600.0;
                target.ra = centre.0 + focal.0 * arcsec / 3600.0 / target.dec.to_radians().cos();
                targets.push(target);
            }
        }
        Self { id, centre, targets }
    }
}

/// Classes of a spectrograph's fibres: the shares of the instrument, in random order.
fn assign(instrument: &Instrument, dead: &[bool], rng: &mut ChaCha8Rng) -> Vec<Class> {
    let n = dead.len();
    let count = |share: f64| (share * n as f64).round() as usize;
    let (nsky, nstandard) = (count(instrument.sky_share), count(instrument.standard_share));
    let mut free: Vec<usize> = (0..n).filter(|&i| !dead[i]).collect();
    let mut classes: Vec<Class> =
        dead.iter().map(|&dead| if dead { Class::Unassigned } else { science_class(rng) }).collect();
    for i in 0..(nsky + nstandard).min(free.len()) {
        let pick = free.swap_remove(rng.random_range(0..free.len()));
        classes[pick] = if i < nsky { Class::Sky } else { Class::Standard };
    }
    classes
}

fn science_class(rng: &mut ChaCha8Rng) -> Class {
    let mut at = rng.random_range(0.0..1.0) * MIX.iter().map(|m| m.1).sum::<f64>();
    for (class, share) in MIX {
        at -= share;
        if at < 0.0 {
            return class;
        }
    }
    Class::Bgs
}

/// A place in the sector of the focal plane that the spectrograph's fibres reach, mm.
fn position(instrument: &Instrument, spectrograph: u8, rng: &mut ChaCha8Rng) -> (f64, f64) {
    let radius = instrument.telescope.field_radius_deg
        * 3.6
        * instrument.telescope.plate_scale_um_arcsec
        * rng.random_range(0.0..1.0f64).sqrt();
    let sector = std::f64::consts::TAU / f64::from(instrument.spectrographs);
    let angle = sector * (f64::from(spectrograph) + rng.random_range(0.0..1.0));
    (radius * angle.cos(), radius * angle.sin())
}

fn draw_target(class: Class, spectra: &Spectra, rng: &mut ChaCha8Rng) -> Target {
    let ebv = rng.random_range(0.02..0.05);
    let spectype = if class == Class::Sky { "SKY" } else { "NONE" };
    let Some(model) = spectra.draw(class, rng) else {
        return Target { class, ebv, spectype: spectype.into(), ..Target::none() };
    };
    let (z, mag) = redshift_and_magnitude(class, model.redshifts(), rng);
    let wave: Vec<f64> = model.wave.iter().map(|w| w * (1.0 + z)).collect();
    let dimmed = |(&w, f): (&f64, &f64)| f.max(0.0) * dust::transmission(ebv, w) * spectra::intergalactic(z, w);
    let mut flux: Vec<f64> = wave.iter().zip(&model.flux).map(dimmed).collect();
    let magnitude = |filter: &Filter, flux: &[f64]| photometric(filter, &wave, flux).unwrap_or(f64::INFINITY);
    let scale = 10f64.powf(-0.4 * (mag - magnitude(&DECAM_R, &flux)));
    flux.iter_mut().for_each(|f| *f *= scale);
    let mags = [DECAM_G, DECAM_R, DECAM_Z].map(|filter| magnitude(&filter, &flux));
    Target { class, ebv, spectype: model.spectype, subtype: model.subtype, z, mags, wave, flux, ..Target::none() }
}

/// AB magnitude of a spectrum that is continued with its end values where the filter reaches further.
fn photometric(filter: &Filter, wave: &[f64], flux: &[f64]) -> Option<f64> {
    let (mut w, mut f) = (wave.to_vec(), flux.to_vec());
    w.insert(0, w[0].min(3000.0) - 100.0);
    f.insert(0, f[0]);
    w.push(w[w.len() - 1].max(11_000.0) + 100.0);
    f.push(f[f.len() - 1]);
    filter.ab_magnitude(&w, &f).filter(|m| m.is_finite())
}

/// Redshift and r magnitude as the survey's samples have them; the model covers the arms between the redshifts
/// `covered`.
fn redshift_and_magnitude(class: Class, covered: (f64, f64), rng: &mut ChaCha8Rng) -> (f64, f64) {
    let normal = |rng: &mut ChaCha8Rng| rng.sample::<f64, _>(StandardNormal);
    // counts grow towards the faint end: the square root of a uniform number
    let faint = |rng: &mut ChaCha8Rng, bright: f64, limit: f64| {
        bright + (limit - bright) * rng.random_range(0.0..1.0f64).sqrt()
    };
    let redshift = |rng: &mut ChaCha8Rng, low: f64, high: f64| {
        let (low, high) = (low.max(covered.0), high.min(covered.1).max(low.max(covered.0)));
        low + (high - low) * rng.random_range(0.0..1.0)
    };
    match class {
        Class::Sky | Class::Unassigned => (0.0, f64::INFINITY),
        Class::Standard => (STELLAR_KMS * normal(rng) / LIGHT_KMS, faint(rng, 16.0, 18.8)),
        Class::Star => (STELLAR_KMS * normal(rng) / LIGHT_KMS, faint(rng, 16.0, 19.0)),
        Class::Bgs => {
            let mag = faint(rng, 16.5, 20.0);
            let typical = 0.04 + 0.05 * (mag - 16.5);
            (redshift(rng, typical, typical + 0.15), mag)
        }
        Class::Lrg => {
            let z = redshift(rng, 0.3, 1.0);
            (z, (18.6 + 3.6 * z + 0.3 * normal(rng)).clamp(19.5, 22.3))
        }
        Class::Elg => (redshift(rng, 0.6, 1.5), faint(rng, 22.0, 23.5)),
        Class::Qso => (redshift(rng, 0.5, 3.5), faint(rng, 18.5, 22.5)),
    }
}

impl Target {
    /// What a fibre looks at that has no target.
    pub fn none() -> Self {
        Self {
            class: Class::Unassigned,
            targetid: -1,
            spectype: "NONE".into(),
            subtype: String::new(),
            z: 0.0,
            ra: 0.0,
            dec: 0.0,
            focal: (0.0, 0.0),
            ebv: 0.0,
            mags: [f64::INFINITY; 3],
            wave: Vec::new(),
            flux: Vec::new(),
        }
    }

    /// Flux above the atmosphere on a grid, 1e-17 erg/s/cm2/Angstrom, averaged over each step; 0 outside the
    /// model.
    pub fn flux_on(&self, waves: &[f64]) -> Vec<f64> {
        if self.wave.len() < 2 { vec![0.0; waves.len()] } else { resample::rebin(waves, &self.wave, &self.flux) }
    }

    /// Whether it is a sky fibre.
    pub fn is_sky(&self) -> bool {
        self.class == Class::Sky
    }

    /// True fluxes in g, r, z, nanomaggies.
    pub fn nanomaggies(&self) -> [f64; 3] {
        self.mags.map(|m| 10f64.powf(0.4 * (NANOMAGGY - m)))
    }

    /// DESI_TARGET, BGS_TARGET, MWS_TARGET.
    pub fn target_bits(&self) -> [i64; 3] {
        const BGS_FAINT: i64 = 1 << 0;
        const BGS_BRIGHT: i64 = 1 << 1;
        const MWS_MAIN: i64 = 1 << 8;
        match self.class {
            Class::Sky => [target::SKY, 0, 0],
            Class::Standard if self.mags[1] < 18.0 => [target::STD_BRIGHT | target::MWS_ANY, 0, MWS_MAIN],
            Class::Standard => [target::STD_FAINT | target::MWS_ANY, 0, MWS_MAIN],
            Class::Bgs => [target::BGS_ANY, if self.mags[1] < 19.5 { BGS_BRIGHT } else { BGS_FAINT }, 0],
            Class::Lrg => [target::LRG, 0, 0],
            Class::Elg => [target::ELG, 0, 0],
            Class::Qso => [target::QSO, 0, 0],
            Class::Star => [target::MWS_ANY, 0, MWS_MAIN],
            Class::Unassigned => [0, 0, 0],
        }
    }
}

impl Class {
    /// Name for the truth table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sky => "SKY",
            Self::Standard => "STD",
            Self::Bgs => "BGS",
            Self::Lrg => "LRG",
            Self::Elg => "ELG",
            Self::Qso => "QSO",
            Self::Star => "STAR",
            Self::Unassigned => "NONE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_the_shares_of_the_instrument_and_fluxes_of_its_magnitudes() {
        let instrument = Instrument::load("mini").unwrap();
        let mut dead = vec![false; 50];
        dead[3] = true;
        let tile = Tile::draw(&instrument, &[0], &dead, &Spectra::load(None).unwrap(), 5, 1);
        let count = |class: Class| tile.targets.iter().filter(|t| t.class == class).count();
        assert_eq!((count(Class::Sky), count(Class::Standard), count(Class::Unassigned)), (8, 6, 1));
        assert_eq!(tile.targets[3].class, Class::Unassigned);
        let waves: Vec<f64> = (0..8000).map(|i| 3000.0 + f64::from(i)).collect();
        for target in tile.targets.iter().filter(|t| t.mags[1].is_finite()) {
            let r = DECAM_R.ab_magnitude(&waves, &target.flux_on(&waves)).unwrap();
            assert!((r - target.mags[1]).abs() < 0.01, "{}: {r} {}", target.class.name(), target.mags[1]);
            assert!((15.9..23.6).contains(&target.mags[1]));
            assert!(target.flux_on(&waves).iter().all(|f| f.is_finite() && *f >= 0.0));
        }
        let ids: std::collections::BTreeSet<i64> = tile.targets.iter().map(|t| t.targetid).collect();
        assert_eq!(ids.len(), 50);
    }
}
