//! The program on files: what it writes, and what it says of a camera that is not there.

#![allow(clippy::unwrap_used)]

mod common;

use assert_cmd::Command;
use common::{NX, NY, four, frame};
use datamodel::{Band, Camera, Header, Image, RawExposure};
use ndarray::Array2;
use std::path::Path;

fn write_exposure(path: &Path) {
    let mut exposure = RawExposure { header: Header::new(), ..Default::default() };
    exposure
        .header
        .set("EXPID", 12, "")
        .set("NIGHT", 20260101, "")
        .set("FLAVOR", "science", "")
        .set("EXPTIME", 100.0, "");
    let raw = frame(&four(), &Array2::from_elem((NY, NX), 50.0), |_| 0.0, 1);
    exposure.cameras.insert(Camera::new(Band::R, 0), raw);
    exposure.write(path).unwrap();
}

fn preproc(folder: &Path, camera: &str, out: &str) -> std::process::Output {
    let mut command = Command::cargo_bin("desi_preproc").unwrap();
    command
        .current_dir(folder)
        .args(["--infile", "desi-00000012.fits.fz", "--camera", camera, "--outfile", out])
        .output()
        .unwrap()
}

#[test]
fn an_image_is_written_with_its_keywords_and_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    write_exposure(&folder.path().join("desi-00000012.fits.fz"));
    for out in ["one.fits", "two.fits"] {
        let output = preproc(folder.path(), "r0", out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let image = Image::read(&folder.path().join("one.fits")).unwrap();
    assert_eq!(image.camera(), Some(Camera::new(Band::R, 0)));
    assert_eq!((image.header.int("EXPID"), image.header.str("FLAVOR")), (Some(12), Some("science")));
    assert!(image.header.float("OBSRDNA").is_some());
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("one.fits") == bytes("two.fits"));
}

#[test]
fn an_absent_camera_is_an_error_that_lists_those_there() {
    let folder = tempfile::tempdir().unwrap();
    write_exposure(&folder.path().join("desi-00000012.fits.fz"));
    let output = preproc(folder.path(), "z3", "out.fits");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("Z3") && log.contains("R0") && log.contains("desi-00000012.fits.fz"), "{log}");
    assert!(!folder.path().join("out.fits").exists());
}

#[test]
fn a_truncated_file_and_a_calibration_of_another_size_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desi-00000012.fits.fz");
    write_exposure(&path);
    let wrong = folder.path().join("dark-r0.fits");
    let mut fits = datamodel::fits::FitsWriter::create(&wrong).unwrap();
    fits.image("DARK", Array2::<f32>::zeros((3, 3)).view(), &Header::new()).unwrap();
    fits.finish().unwrap();
    let mut command = Command::cargo_bin("desi_preproc").unwrap();
    command.current_dir(folder.path()).args(["--infile", "desi-00000012.fits.fz", "--camera", "r0", "--calib", "."]);
    let output = command.args(["--outfile", "out.fits"]).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("the dark image has (3, 3) rows and columns"), "{log}");

    let bytes = std::fs::read(&path).unwrap();
    for keep in [bytes.len() / 2, bytes.len() - 2880] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let output = preproc(folder.path(), "r0", "out.fits");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("truncated") && log.contains("desi-00000012.fits.fz"), "{log}");
    }
    assert!(!folder.path().join("out.fits").exists());
}
