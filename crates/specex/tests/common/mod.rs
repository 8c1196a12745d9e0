//! Scenes of the mini instrument whose truth is known, shared by the tests of the fit.
#![allow(dead_code)] // each test uses a part

use datamodel::{Band, Camera, GaussHermitePsf, Image};
use psf::{Psf, lamps, lamps::LampLine};
use simulate::camera::{CameraModel, Light};
use simulate::{image, instrument::Instrument, optics, project};
use specex::{Outcome, Params};

/// An arm of the mini instrument.
pub struct Scene {
    pub band: Band,
    pub model: CameraModel,
}

/// Largest errors that are accepted: rms of x and y in pixels, median of the largest spot differences.
pub struct Limits {
    pub x: f64,
    pub y: f64,
    pub spot: f64,
}

impl Scene {
    pub fn new(band: Band, dead: &[usize], seed: u64) -> Self {
        Self::changed(band, dead, seed, |_| ())
    }

    /// A scene whose true PSF is changed.
    pub fn changed(band: Band, dead: &[usize], seed: u64, change: impl Fn(&mut GaussHermitePsf)) -> Self {
        let instrument = Instrument::load("mini").unwrap();
        let camera = Camera::new(band, 0);
        let mut truth = optics::true_psf(&instrument, camera, seed).unwrap();
        change(&mut truth);
        let psf = Psf::new(truth).unwrap();
        let dead: Vec<bool> = (0..instrument.nfiber()).map(|f| dead.contains(&f)).collect();
        Self { band, model: CameraModel::new(&instrument, camera, psf, &dead, seed) }
    }

    pub fn arc(&self, lines: &[LampLine]) -> Image {
        self.image(&self.model.arc(lines))
    }

    pub fn image(&self, light: &Light) -> Image {
        let m = &self.model;
        let expected = project::project(&m.psf, &m.grid, light.density.view(), &light.lines);
        let charge = m.detector.expose(&expected, 5.0, 2);
        image::pix(&m.detector, &expected, &charge, 5.0, 2, Default::default())
    }

    /// The true traces moved by `(dx, dy)` pixels with Gaussian spots: what a bootstrap gives.
    pub fn guess(&self, (dx, dy): (f64, f64)) -> GaussHermitePsf {
        let truth = self.model.psf.file();
        let mut boot = datamodel::PsfBoot {
            header: Default::default(),
            x: truth.x.clone(),
            y: truth.y.clone(),
            xsigma: vec![1.05; truth.nfiber()],
        };
        boot.x.coeff.column_mut(0).mapv_inplace(|v| v + dx);
        boot.y.coeff.column_mut(0).mapv_inplace(|v| v + dy);
        psf::boot::gaussian(&boot, truth.npix)
    }

    pub fn check(&self, (psf, outcome): &(GaussHermitePsf, Outcome), but: &[usize], limits: &Limits) {
        let fitted = Psf::new(psf.clone()).unwrap();
        let (first, last, _) = self.band.extraction_grid();
        let waves: Vec<f64> = (0..=46).map(|i| first + (last - first) * f64::from(i) / 46.0).collect();
        let (mut x, mut y, mut spots) = (Vec::new(), Vec::new(), Vec::new());
        for (bundle, result) in outcome {
            assert!(result.is_ok(), "bundle {bundle}: {:?}", result.as_ref().err());
            for fiber in (bundle * 25..bundle * 25 + 25).filter(|f| !but.contains(f)) {
                for wave in &waves {
                    x.push((fitted.x(fiber, *wave) - self.model.psf.x(fiber, *wave)).powi(2));
                    y.push((fitted.y(fiber, *wave) - self.model.psf.y(fiber, *wave)).powi(2));
                }
                spots.extend(waves.iter().step_by(9).map(|w| self.spot_error(&fitted, fiber, *w)));
            }
        }
        let rms = |v: &[f64]| (v.iter().sum::<f64>() / v.len() as f64).sqrt();
        let spot = numerics::robust::median(&spots).unwrap();
        let (x, y) = (rms(&x), rms(&y));
        println!("{}: rms x {x:.4} y {y:.4} pixels, spot {spot:.4} of the peak", self.band);
        assert!(x < limits.x && y < limits.y && spot < limits.spot, "{}: x {x:.4} y {y:.4} spot {spot:.4}", self.band);
    }

    /// Largest difference of a spot, as a fraction of its peak, both at the true place.
    fn spot_error(&self, fitted: &Psf, fiber: usize, wave: f64) -> f64 {
        let truth = self.model.psf.spot(fiber, wave);
        let at = (self.model.psf.x(fiber, wave), self.model.psf.y(fiber, wave));
        let mut values = fitted.shape(fiber, wave).integrate(at, (truth.x0, truth.y0), (truth.nx, truth.ny));
        values.iter_mut().for_each(|v| *v = v.max(0.0));
        let sum: f64 = values.iter().sum();
        let peak = truth.values.iter().copied().fold(0.0, f64::max);
        values.iter().zip(&truth.values).map(|(a, b)| (a / sum - b).abs() / peak).fold(0.0, f64::max)
    }
}

pub fn one_bundle() -> Params {
    Params { bundles: Some(vec![0]), ..Params::default() }
}

pub fn run(image: &Image, first: &GaussHermitePsf, params: &Params) -> (GaussHermitePsf, Outcome) {
    specex::run(image, first, &lamps::builtin(), params).unwrap()
}
