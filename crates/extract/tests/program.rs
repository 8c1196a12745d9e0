//! `desi_extract` as a user runs it.
#![allow(clippy::unwrap_used)]

mod common;

use assert_cmd::Command;
use datamodel::{ColumnData, Fibermap, Frame, GaussHermitePsf, Header, Image};
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with pix.fits and psf.fits of the small camera.
struct Folder(TempDir);

impl Folder {
    fn new(change: impl FnOnce(&mut Image, &mut GaussHermitePsf)) -> Self {
        let mut psf = common::small_file(5);
        let pixels = common::exposure(&common::small_psf(5), 3);
        let mut header = Header::new();
        header.set("CAMERA", "r3", "").set("EXPID", 7, "").set("NIGHT", 20260101, "").set("FLAVOR", "science", "");
        psf.header.set("CAMERA", "r3", "");
        let mut fibermap = Fibermap::default();
        fibermap.table.set("FIBER", "", ColumnData::I32((1500..1505).rev().collect()));
        fibermap.table.set("TARGETID", "", ColumnData::I64(vec![4, 3, 2, 1, 0]));
        let mut image = Image {
            header,
            mask: common::no_mask(&pixels.value),
            readnoise: pixels.value.mapv(|_| 3.0),
            pix: pixels.value,
            ivar: pixels.weight,
            fibermap: Some(fibermap),
        };
        change(&mut image, &mut psf);
        let folder = Self(TempDir::new().unwrap());
        image.write(&folder.path("pix.fits")).unwrap();
        psf.write(&folder.path("psf.fits")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program on the folder's files; returns the exit code and what it logged.
    fn run(&self, options: &[&str]) -> (i32, String) {
        let output = Command::cargo_bin("desi_extract")
            .unwrap()
            .current_dir(self.0.path())
            .args(["-i", "pix.fits", "-p", "psf.fits", "-o", "frame.fits"])
            .args(if options.contains(&"-w") { &[][..] } else { &["-w", "5940,6060,0.8"] })
            .args(options)
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_frame_has_everything_that_later_steps_need() {
    let folder = Folder::new(|_, _| ());
    let (code, log) = folder.run(&["-s", "1", "-n", "3", "-m", "model.fits", "--nwavestep", "50"]);
    assert_eq!(code, 0, "{log}");
    let frame = Frame::read(&folder.path("frame.fits")).unwrap();
    assert_eq!((frame.nspec(), frame.wave.len(), frame.resolution.dim()), (3, 151, (3, 11, 151)));
    assert_eq!(frame.fibermap.fibers(), [1501, 1502, 1503]);
    assert_eq!(frame.fibermap.targetids(), [1, 2, 3]);
    assert_eq!(frame.scores.unwrap().ints("TARGETID"), Some(vec![1, 2, 3]));
    let h = &frame.header;
    assert_eq!((h.int("NSPEC"), h.int("FIBERMIN"), h.int("EXPID")), (Some(3), Some(1501), Some(7)));
    assert_eq!((h.float("WAVEMIN"), h.float("WAVESTEP")), (Some(5940.0), Some(0.8)));
    assert_eq!((h.str("IN_PSF"), h.str("IN_IMG")), (Some("psf.fits"), Some("pix.fits")));
    assert!(folder.path("model.fits").exists());
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let folder = Folder::new(|_, _| ());
    let bytes = |threads: &str| {
        assert_eq!(folder.run(&["--threads", threads, "--nsubbundles", "2"]).0, 0);
        std::fs::read(folder.path("frame.fits")).unwrap()
    };
    assert!(bytes("1") == bytes("3"));
}

#[test]
fn unusable_input_is_named() {
    let refused = |change: fn(&mut Image, &mut GaussHermitePsf), options: &[&str], code: i32, words: &[&str]| {
        let folder = Folder::new(change);
        let (found, log) = folder.run(options);
        assert_eq!(found, code, "{log}");
        assert!(words.iter().all(|w| log.contains(w)), "{words:?} in {log}");
        assert!(!folder.path("frame.fits").exists());
    };
    let other_camera: fn(&mut Image, &mut GaussHermitePsf) = |_, psf| {
        psf.header.set("CAMERA", "b3", "");
    };
    let nothing: fn(&mut Image, &mut GaussHermitePsf) = |_, _| ();
    refused(other_camera, &[], 1, &["psf.fits", "CAMERA", "r3", "b3"]);
    refused(|_, psf| psf.npix = (360, 48), &[], 1, &["pix.fits", "360x60", "360x48"]);
    refused(nothing, &["-w", "8000,8100,0.8"], 1, &["pix.fits", "psf.fits", "8000.0-8100.0", "5900.0-6100.0"]);
    refused(nothing, &["-s", "4", "-n", "3"], 2, &["4-6", "5 fibres"]);
    refused(nothing, &["-f", "none.fits"], 3, &["none.fits"]);
    refused(nothing, &["-w", "6000,5000,0.8"], 2, &["WMIN,WMAX,DW"]);
    refused(nothing, &["--decorrelate", "both"], 2, &["signal", "noise"]);
    refused(nothing, &["-n", "0"], 2, &["at least 1"]);
    let short = |image: &mut Image, _: &mut GaussHermitePsf| {
        let map = image.fibermap.take().unwrap();
        image.fibermap = Some(map.select(&[0, 1, 2]));
    };
    refused(short, &[], 1, &["pix.fits", "FIBERMAP", "1500"]);
}

#[test]
fn a_blind_image_gives_a_masked_frame_and_a_warning() {
    let folder = Folder::new(|image, _| image.ivar.fill(0.0));
    let (code, log) = folder.run(&[]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("WARN") && log.contains("no pixel has a weight"), "{log}");
    let frame = Frame::read(&folder.path("frame.fits")).unwrap();
    assert!(frame.ivar.iter().all(|v| *v == 0.0) && frame.mask.iter().all(|m| *m != 0));
}

#[test]
fn barycentric_wavelengths_are_labels_of_shorter_ones() {
    let folder = Folder::new(|image, _| {
        image.header.set("TARGTRA", 150.1, "").set("TARGTDEC", 2.2, "").set("MJD-OBS", 59300.3, "");
    });
    let (code, log) = folder.run(&["--barycentric"]);
    assert_eq!(code, 0, "{log}");
    let frame = Frame::read(&folder.path("frame.fits")).unwrap();
    let h = frame.header.float("HELIOCOR").unwrap();
    // astropy's factor for this target and moment
    assert!((h - 0.9999441441).abs() < 2e-8 && frame.wave[0] == 5940.0, "{h}");
    let grid = format!("{:?},{:?},{:?}", 5940.0 / h, 6060.0 / h, 0.8 / h);
    let (code, log) = folder.run(&["-w", &grid]);
    assert_eq!(code, 0, "{log}");
    let plain = Frame::read(&folder.path("frame.fits")).unwrap();
    let moved = (&frame.flux - &plain.flux).mapv(f32::abs) * plain.ivar.mapv(f32::sqrt);
    assert!(plain.header.float("HELIOCOR").is_none() && moved.iter().all(|d| *d < 1e-5));
}

#[test]
fn pixels_that_are_no_measurement_are_left_out_and_said() {
    let masked = Folder::new(|image, _| {
        (image.pix[(180, 20)], image.ivar[(180, 20)], image.mask[(180, 20)]) = (0.0, 0.0, 1);
    });
    assert_eq!(masked.run(&[]).0, 0);
    let broken = Folder::new(|_, _| ());
    let path = broken.path("pix.fits");
    let (mut bytes, value) = (std::fs::read(&path).unwrap(), Image::read(&path).unwrap().pix[(180, 20)]);
    let found: Vec<usize> = (0..bytes.len() - 4).filter(|&i| bytes[i..i + 4] == value.to_be_bytes()).collect();
    assert_eq!(found.len(), 1, "a value that stands once in the file");
    bytes[found[0]..found[0] + 4].copy_from_slice(&f32::NAN.to_be_bytes());
    // without the checksums, which would betray the change before
    for card in [&b"DATASUM"[..], &b"CHECKSUM"[..]] {
        while let Some(at) = bytes.windows(card.len()).position(|w| w == card) {
            bytes[at..at + 2].copy_from_slice(b"XX");
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let (code, log) = broken.run(&[]);
    assert!(code == 0 && log.contains("1 pixels that no mask flags"), "{log}");
    let [a, b] = [&masked, &broken].map(|f| Frame::read(&f.path("frame.fits")).unwrap());
    assert_eq!((a.flux, a.ivar, a.mask, a.resolution), (b.flux, b.ivar, b.mask, b.resolution));
}
