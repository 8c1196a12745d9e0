//! One camera: how light of the sky, of targets and of lamps becomes electrons in its fibres.

use crate::{
    atmosphere::Atmosphere,
    detector::Detector,
    grid::WaveGrid,
    instrument::Instrument,
    lamps,
    night::{Exposure, Flavor},
    project::Line,
    random,
    sky::Sky,
    targets::Target,
};
use datamodel::Camera;
use ndarray::Array2;
use numerics::robust;
use psf::{Psf, lamps::LampLine};
use rand::Rng;
use rand_distr::StandardNormal;

/// h c in erg Angstrom.
const HC: f64 = 1.986_445_86e-8;
/// Unit of flux densities, erg/s/cm2/Angstrom.
const FLUX_UNIT: f64 = 1e-17;
/// Wavelength in Angstrom at which the fibre's acceptance is quoted, and its power law: seeing improves to the
/// red.
const ACCEPTANCE_WAVE: f64 = 6500.0;
const ACCEPTANCE_POWER: f64 = 0.1;
/// Rms radius of the image of a star in median seeing, arcsec (1.1 arcsec FWHM).
const SEEING_SIGMA: f64 = 0.47;

/// A camera, everything about it that does not change from exposure to exposure.
pub struct CameraModel {
    /// Which one.
    pub camera: Camera,
    /// Traces and spots.
    pub psf: Psf,
    /// Fine wavelength grid.
    pub grid: WaveGrid,
    /// Throughput without the atmosphere and the fibre's acceptance, on the grid.
    pub throughput: Vec<f64>,
    /// Relative throughput of each fibre, `[nfiber, grid.len]`: median 1 over the fibres that are not dead, as a
    /// fibre flat is normalised.
    pub fibers: Array2<f64>,
    /// The CCD.
    pub detector: Detector,
    telescope: crate::instrument::Telescope,
}

/// The spectra of an exposure in a camera before they are projected.
pub struct Light {
    /// Electron per Angstrom, `[nfiber, grid.len]`.
    pub density: Array2<f64>,
    /// Unresolved lines of the arc lamps.
    pub lines: Vec<Line>,
    /// Sky of a fibre of unit throughput at the field's centre, electron per Angstrom; empty in calibrations.
    pub sky: Vec<f64>,
    /// Electron per Angstrom of a fibre of unit throughput, off centre by the exposure's median, for 1e-17
    /// erg/s/cm2/Angstrom above the atmosphere; empty in calibrations.
    pub calibration: Vec<f64>,
    /// Flux of the targets, 1e-17 erg/s/cm2/Angstrom, `[nfiber, grid.len]`; empty in calibrations.
    pub flux: Array2<f64>,
}

/// The sky and the air above it.
pub struct Site {
    /// Its extinction.
    pub atmosphere: Atmosphere,
    /// Its night sky.
    pub sky: Sky,
}

/// Which fibres of a spectrograph are dead: a property of the seed. There is at least one where the expected
/// number is 1 or more.
pub fn dead_fibers(instrument: &Instrument, spectrograph: u8, seed: u64) -> Vec<bool> {
    let n = instrument.nfiber();
    let mut rng = random::stream(seed, "dead fibres", &[u64::from(spectrograph)]);
    let mut dead = vec![false; n];
    for _ in 0..(instrument.dead_fibers * n as f64).round() as usize {
        dead[rng.random_range(0..n)] = true;
    }
    dead
}

/// Relative throughput of the fibres: a grey part that all arms share, a slope and a curvature of each arm.
pub fn fiber_throughput(
    instrument: &Instrument,
    camera: Camera,
    dead: &[bool],
    samples: usize,
    seed: u64,
) -> Array2<f64> {
    let mut grey = random::stream(seed, "fibre throughput", &[u64::from(camera.spectrograph)]);
    let mut colour = random::stream(seed, "fibre colour", &[random::camera_key(camera)]);
    let normal =
        |rms: f64, rng: &mut rand_chacha::ChaCha8Rng| rms * rng.sample::<f64, _>(StandardNormal).clamp(-2.5, 2.5);
    let mut out = Array2::zeros((dead.len(), samples));
    for (mut row, dead) in out.rows_mut().into_iter().zip(dead) {
        let level = 1.0 + normal(instrument.throughput_rms, &mut grey);
        let (slope, curvature) =
            (normal(instrument.colour_rms, &mut colour), normal(0.5 * instrument.colour_rms, &mut colour));
        for (i, value) in row.iter_mut().enumerate().filter(|_| !dead) {
            let u = 2.0 * i as f64 / (samples as f64 - 1.0) - 1.0;
            *value = level * (1.0 + slope * u + curvature * (1.5 * u * u - 0.5));
        }
    }
    for mut column in out.columns_mut() {
        let alive: Vec<f64> = column.iter().copied().filter(|v| *v > 0.0).collect();
        let middle = robust::median(&alive).unwrap_or(1.0);
        column.mapv_inplace(|v| v / middle);
    }
    out
}

impl CameraModel {
    /// A camera with its PSF.
    pub fn new(instrument: &Instrument, camera: Camera, psf: Psf, dead: &[bool], seed: u64) -> Self {
        let arm = instrument.arm(camera.band);
        let file = psf.file();
        let grid = WaveGrid::covering(camera.band, (file.x.wavemin, file.x.wavemax));
        Self {
            camera,
            grid,
            throughput: grid.waves().iter().map(|&w| arm.throughput_at(w)).collect(),
            fibers: fiber_throughput(instrument, camera, dead, grid.len, seed),
            detector: Detector::new(arm, camera, seed),
            telescope: instrument.telescope.clone(),
            psf,
        }
    }

    /// The spectra of an arc.
    pub fn arc(&self, lines: &[LampLine]) -> Light {
        let last = self.grid.wave(self.grid.len - 1);
        let throughput = |wave: f64| {
            let i = (((wave - self.grid.start) / self.grid.step).round().max(0.0) as usize).min(self.grid.len - 1);
            self.fibers.column(i).iter().map(|f| f * self.throughput[i]).collect()
        };
        let lines = lamps::arc(lines, (self.grid.start, last), throughput);
        Light { density: Array2::zeros(self.fibers.dim()), lines, ..Light::dark() }
    }

    /// The spectra of a flat.
    pub fn flat(&self) -> Light {
        let lamp: Vec<f64> = (0..self.grid.len).map(|i| lamps::flat(self.grid.wave(i), self.throughput[i])).collect();
        let mut density = self.fibers.clone();
        density.rows_mut().into_iter().for_each(|mut row| row.iter_mut().zip(&lamp).for_each(|(d, l)| *d *= l));
        Light { density, ..Light::dark() }
    }

    /// The spectra of a science exposure; `offsets` are those of the positioners in mm.
    pub fn science(&self, exposure: &Exposure, targets: &[Target], offsets: &[(f64, f64)], site: &Site) -> Light {
        let waves = self.grid.waves();
        let conversion: Vec<f64> = waves
            .iter()
            .zip(&self.throughput)
            .map(|(&w, t)| {
                let air = site.atmosphere.transmission(w, exposure.airmass);
                FLUX_UNIT * self.telescope.area_cm2 * exposure.seconds * t * air * w / HC
            })
            .collect();
        let solid_angle = std::f64::consts::PI * (0.5 * self.telescope.fiber_diameter_arcsec).powi(2);
        let (continuum, lines) = site.sky.spectrum(&self.grid);
        let part = |sky: &[f64]| sky.iter().zip(&conversion).map(|(s, c)| s * c * solid_angle).collect::<Vec<f64>>();
        let (continuum, lines) = (part(&continuum), part(&lines));
        let acceptances: Vec<f64> = offsets.iter().map(|&offset| self.relative_acceptance(offset)).collect();
        let typical = robust::median(&acceptances).unwrap_or(1.0);
        let accepted = typical * exposure.acceptance * self.telescope.acceptance;
        let calibration: Vec<f64> = waves
            .iter()
            .zip(&conversion)
            .map(|(&w, c)| c * accepted * (w / ACCEPTANCE_WAVE).powf(ACCEPTANCE_POWER))
            .collect();

        let mut density = self.fibers.clone();
        let mut flux = Array2::zeros(self.fibers.dim());
        for (fiber, target) in targets.iter().enumerate() {
            flux.row_mut(fiber).iter_mut().zip(target.flux_on(&waves)).for_each(|(a, b)| *a = b);
            let (acceptance, airglow) = (acceptances[fiber] / typical, self.airglow(exposure, target));
            for (i, d) in density.row_mut(fiber).iter_mut().enumerate() {
                *d *= continuum[i] + airglow * lines[i] + acceptance * calibration[i] * flux[[fiber, i]];
            }
        }
        let sky = continuum.iter().zip(&lines).map(|(c, l)| c + l).collect();
        Light { density, lines: Vec::new(), sky, calibration, flux }
    }

    /// Share of a star's light that a fibre takes in at an offset (mm), relative to a centred one: a Gaussian
    /// image on a fibre that is smoothed like one of the same rms radius.
    pub fn relative_acceptance(&self, (dx, dy): (f64, f64)) -> f64 {
        let arcsec = 1000.0 / self.telescope.plate_scale_um_arcsec;
        let fiber_sigma = 0.25 * self.telescope.fiber_diameter_arcsec;
        let variance = SEEING_SIGMA.powi(2) + fiber_sigma.powi(2);
        (-0.5 * (dx * dx + dy * dy) * arcsec * arcsec / variance).exp()
    }

    /// Airglow lines at the fibre relative to the centre of the field.
    fn airglow(&self, exposure: &Exposure, target: &Target) -> f64 {
        let radius = self.telescope.field_radius_deg * 3.6 * self.telescope.plate_scale_um_arcsec;
        1.0 + (exposure.airglow_gradient.0 * target.focal.0 + exposure.airglow_gradient.1 * target.focal.1) / radius
    }

    /// The spectra of an exposure.
    pub fn light(
        &self,
        exposure: &Exposure,
        targets: &[Target],
        offsets: &[(f64, f64)],
        site: &Site,
        lamp: &[LampLine],
    ) -> Light {
        match exposure.flavor {
            Flavor::Arc => self.arc(lamp),
            Flavor::Flat => self.flat(),
            Flavor::Science(_) => self.science(exposure, targets, offsets, site),
        }
    }
}

impl Light {
    fn dark() -> Self {
        Self {
            density: Array2::zeros((0, 0)),
            lines: Vec::new(),
            sky: Vec::new(),
            calibration: Vec::new(),
            flux: Array2::zeros((0, 0)),
        }
    }
}

/// Offsets of the positioners in an exposure, mm, one a fibre.
pub fn positioner_offsets(instrument: &Instrument, spectrograph: u8, expid: u32, seed: u64) -> Vec<(f64, f64)> {
    let mut rng = random::stream(seed, "positioners", &[u64::from(spectrograph), u64::from(expid)]);
    let rms = 1e-3 * instrument.telescope.positioner_rms_um;
    (0..instrument.nfiber())
        .map(|_| (rms * rng.sample::<f64, _>(StandardNormal), rms * rng.sample::<f64, _>(StandardNormal)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{optics, targets::Target};
    use datamodel::{Band, Expid};

    fn model(band: Band, dead: &[bool]) -> CameraModel {
        let instrument = Instrument::load("mini").unwrap();
        let camera = Camera::new(band, 0);
        let psf = Psf::new(optics::true_psf(&instrument, camera, 1).unwrap()).unwrap();
        CameraModel::new(&instrument, camera, psf, dead, 1)
    }

    #[test]
    fn sky_and_calibration_have_the_known_size() {
        let exposure = Exposure {
            expid: Expid(1),
            flavor: Flavor::Science(0),
            seconds: 1000.0,
            mjd: 61_041.0,
            airmass: 1.0,
            acceptance: 1.0,
            airglow_gradient: (0.0, 0.0),
        };
        let model = model(Band::R, &[false; 50]);
        // sky of 1.2e-17 per arcsec2 on a night without lines
        let flat = crate::tables::Curve::from_pairs(&[(3000.0, 0.0), (11000.0, 0.0)]);
        let site = Site { atmosphere: Atmosphere::new(None), sky: Sky::Lines(flat) };
        let light = model.science(&exposure, &vec![Target::none(); 50], &[(0.0, 0.0); 50], &site);
        let at = |wave: f64| ((wave - model.grid.start) / model.grid.step).round() as usize;
        // 218 electron/Angstrom for 1.2 units at 6500 Angstrom in 1000 s through the air of Kitt Peak
        let continuum = 1.03; // of the table at 6500
        assert!((light.sky[at(6500.0)] / (218.0 * continuum / 1.2) - 1.0).abs() < 0.03, "{}", light.sky[at(6500.0)]);
        // 43 electron/Angstrom for a point source of one unit
        assert!((light.calibration[at(6500.0)] / 43.0 - 1.0).abs() < 0.05, "{}", light.calibration[at(6500.0)]);
    }

    #[test]
    fn fibres_scatter_about_one_and_dead_ones_are_dark() {
        let mut dead = [false; 50];
        dead[7] = true;
        let model = model(Band::Z, &dead);
        for column in model.fibers.columns().into_iter().step_by(500) {
            let alive: Vec<f64> = column.iter().copied().filter(|v| *v > 0.0).collect();
            let middle = robust::median(&alive).unwrap();
            let rms = (column.iter().enumerate().filter(|(i, _)| *i != 7).map(|(_, v)| (v - 1.0).powi(2)).sum::<f64>()
                / 49.0)
                .sqrt();
            assert_eq!(alive.len(), 49);
            assert!((middle - 1.0).abs() < 1e-12 && (0.04..0.11).contains(&rms), "{middle} {rms}");
        }
        assert!(model.fibers.row(7).iter().all(|v| *v == 0.0));
    }
}
