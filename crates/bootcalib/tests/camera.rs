//! The bootstrap on simulated flats and arcs of the mini instrument, against the simulator's truth.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use bootcalib::{BootError, identify::Nominal};
use datamodel::{Band, Camera, Image, PsfBoot, mask::ccd};
use psf::{Psf, lamps, lamps::LampLine};
use simulate::camera::{CameraModel, Light};
use simulate::{image, instrument::Instrument, optics, project};

struct Scene {
    band: Band,
    model: CameraModel,
}

impl Scene {
    fn new(band: Band, dead: &[usize], seed: u64) -> Self {
        let instrument = Instrument::load("mini").unwrap();
        let camera = Camera::new(band, 0);
        let psf = Psf::new(optics::true_psf(&instrument, camera, seed).unwrap()).unwrap();
        let dead: Vec<bool> = (0..instrument.nfiber()).map(|f| dead.contains(&f)).collect();
        Self { band, model: CameraModel::new(&instrument, camera, psf, &dead, seed) }
    }

    fn image(&self, light: &Light, expid: u32) -> Image {
        let m = &self.model;
        let expected = project::project(&m.psf, &m.grid, light.density.view(), &light.lines);
        let charge = m.detector.expose(&expected, 5.0, expid);
        image::pix(&m.detector, &expected, &charge, 5.0, expid, Default::default())
    }

    fn flat(&self) -> Image {
        self.image(&self.model.flat(), 1)
    }

    fn arc(&self, lines: &[LampLine]) -> Image {
        self.image(&self.model.arc(lines), 2)
    }

    fn run(&self, flat: &Image, arc: &Image) -> Result<PsfBoot, BootError> {
        bootcalib::run(flat, arc, &lamps::builtin(), Nominal::of(self.band), 5)
    }

    /// Rms of x and y against the truth over the extraction's wavelengths, pixels.
    fn errors(&self, boot: &PsfBoot, but: &[usize]) -> (f64, f64) {
        let found = Psf::new(psf::boot::gaussian(boot, (1, 1))).unwrap();
        let (first, last, _) = self.band.extraction_grid();
        let waves: Vec<f64> = (0..=50).map(|i| first + (last - first) * f64::from(i) / 50.0).collect();
        let (mut x, mut y, mut n) = (0.0, 0.0, 0.0f64);
        for fiber in (0..50).filter(|f| !but.contains(f)) {
            for wave in &waves {
                x += (found.x(fiber, *wave) - self.model.psf.x(fiber, *wave)).powi(2);
                y += (found.y(fiber, *wave) - self.model.psf.y(fiber, *wave)).powi(2);
                n += 1.0;
            }
        }
        ((x / n).sqrt(), (y / n).sqrt())
    }
}

#[test]
fn the_three_arms_with_dead_fibres_in_awkward_places() {
    for (band, dead) in [(Band::B, vec![0, 24, 25]), (Band::R, vec![10, 11]), (Band::Z, vec![49])] {
        let scene = Scene::new(band, &dead, 3);
        let boot = scene.run(&scene.flat(), &scene.arc(&lamps::builtin())).unwrap();
        let (x, y) = scene.errors(&boot, &dead);
        println!("{band}: rms {x:.4} {y:.4} pixels");
        assert_eq!(boot.xsigma.len(), 50);
        assert!(x < 0.01 && y < 0.06, "{band}: rms {x:.4} {y:.4} pixels");
        let (x, y) = scene.errors(&boot, &(0..50).filter(|f| !dead.contains(f)).collect::<Vec<_>>());
        assert!(x < 0.6 && y < 0.3, "dead fibres of {band}: rms {x:.3} {y:.3} pixels");
    }
}

#[test]
fn lamps_that_did_not_light_and_faint_lamps() {
    for (band, lamps_and_light) in [(Band::R, vec![("NeI", 1.0), ("", 0.04)]), (Band::B, vec![("HgI", 1.0)])] {
        let scene = Scene::new(band, &[7], 4);
        let flat = scene.flat();
        for (dark, share) in lamps_and_light {
            let mut lit: Vec<LampLine> = lamps::builtin().into_iter().filter(|l| l.ion != dark).collect();
            // the simulator's lamps shine with the power 0.6 of the intensity: 0.04 is 7 times less light
            lit.iter_mut().for_each(|l| l.intensity *= share);
            let boot = scene.run(&flat, &scene.arc(&lit)).unwrap();
            let (x, y) = scene.errors(&boot, &[7]);
            println!("{band} without {dark}, light {share}: rms {x:.4} {y:.4} pixels");
            assert!(x < 0.01 && y < 0.3, "{band} without {dark}, light {share}: rms {x:.4} {y:.4} pixels");
        }
    }
}

#[test]
fn bad_columns_through_a_trace_between_two_and_over_a_whole_fibre() {
    let scene = Scene::new(Band::R, &[], 5);
    let (mut flat, mut arc) = (scene.flat(), scene.arc(&lamps::builtin()));
    let column = scene.model.psf.x(30, 6700.0).round() as usize;
    for image in [&mut flat, &mut arc] {
        // the last seven hide fibre 10 altogether
        let hidden = scene.model.psf.x(10, 6700.0).round() as usize;
        for x in [column, column + 60].into_iter().chain(hidden - 3..=hidden + 3) {
            image.pix.column_mut(x).fill(0.0);
            image.mask.column_mut(x).fill(ccd::DEAD);
        }
    }
    let boot = scene.run(&flat, &arc).unwrap();
    let (x, y) = scene.errors(&boot, &[10]);
    let (_, hidden) = scene.errors(&boot, &(0..50).filter(|f| *f != 10).collect::<Vec<_>>());
    println!("bad columns: rms {x:.4} {y:.4} pixels, of the hidden fibre {hidden:.3}");
    assert!(hidden < 0.3, "hidden fibre: {hidden:.3} pixels");
    assert!(x < 0.05 && y < 0.06, "rms {x:.4} {y:.4} pixels");
}

#[test]
fn unusable_images_are_named() {
    let scene = Scene::new(Band::R, &[], 6);
    let (flat, arc) = (scene.flat(), scene.arc(&lamps::builtin()));
    let dark = scene.arc(&[]);
    let error = scene.run(&flat, &dark).unwrap_err();
    assert!(matches!(error, BootError::NoLines { .. }) && !error.is_flat(), "{error}");
    let error = scene.run(&flat, &flat).unwrap_err();
    assert!(matches!(error, BootError::NoLines { .. } | BootError::NotIdentified { .. }), "{error}");
    let error = scene.run(&dark, &arc).unwrap_err();
    assert!(error.is_flat(), "{error}");
    let error = scene.run(&arc, &arc).unwrap_err();
    assert!(error.is_flat(), "{error}");
}
