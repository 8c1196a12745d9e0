//! A night of a tiny instrument: the files, their content, and that threads change no byte of them.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use datamodel::{Band, Camera, Fibermap, Image, RawExposure, fits::FitsReader, mask::fiber};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Mini with two bundles of five fibres on CCDs of 512 rows, at the same place of the slit.
fn tiny(folder: &Path) -> PathBuf {
    let mini = include_str!("../instruments/mini.toml");
    let lines = mini.lines().map(|line| match line.split(['=', '#']).next().unwrap_or("").trim() {
        "fibers_per_bundle" => "fibers_per_bundle = 5".to_string(),
        "nx" => "nx = 140".to_string(),
        "ny" => "ny = 512".to_string(),
        "smile" => "smile = [8.0, 15.0]".to_string(),
        "centre" => "centre = 490.0".to_string(),
        "dead_fibers" => "dead_fibers = 0.1".to_string(),
        _ => line.to_string(),
    });
    let path = folder.join("tiny.toml");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    path
}

fn simulate(folder: &Path, out: &str, more: &[&str]) -> std::process::Output {
    let instrument = tiny(folder);
    let mut command = Command::cargo_bin("desi_simulate").unwrap();
    command.args([
        "--outdir",
        folder.join(out).to_str().unwrap(),
        "--night",
        "20260101",
        "--instrument",
        instrument.to_str().unwrap(),
    ]);
    command.args(["--arcs", "1", "--flats", "0", "--exposures", "1", "--seed", "4"]).args(more).output().unwrap()
}

/// Every file below a folder and its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(p, b)| (Path::new(path.file_name().unwrap()).join(p), b)));
        } else {
            found.insert(PathBuf::from(path.file_name().unwrap()), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_night_is_complete_and_the_same_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for (out, threads) in [("one", "1"), ("three", "3")] {
        let output = simulate(folder.path(), out, &["--threads", threads, "--truth-images"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (one, three) = (files(&folder.path().join("one")), files(&folder.path().join("three")));
    assert_eq!(one.keys().collect::<Vec<_>>(), three.keys().collect::<Vec<_>>());
    one.iter().for_each(|(name, bytes)| assert!(bytes == &three[name], "{} differs", name.display()));

    let night = folder.path().join("one/20260101");
    let fibermap = Fibermap::read(&night.join("fibermap-00219201.fits")).unwrap();
    assert_eq!(fibermap.fibers(), (0..10).collect::<Vec<i32>>());
    assert_eq!(fibermap.header.str("FLAVOR"), Some("science"));
    assert_eq!(fibermap.is_sky().iter().filter(|s| **s).count(), 2);
    assert_eq!(fibermap.is_standard().iter().filter(|s| **s).count(), 1);
    assert_eq!(fibermap.fiberstatus().iter().filter(|s| **s == fiber::BROKENFIBER).count(), 1);

    for band in Band::ALL {
        let camera = Camera::new(band, 0);
        let image = Image::read(&night.join(format!("pix-{camera}-00219201.fits"))).unwrap();
        assert_eq!(image.fibermap.as_ref().map(Fibermap::len), Some(10));
        let truth = folder.path().join(format!("one/truth/20260101/image-{camera}-00219201.fits"));
        let truth = FitsReader::open(&truth).unwrap().plane("IMAGE").unwrap();
        let good = |i: &usize| image.mask.as_slice().unwrap()[*i] == 0;
        let pulls: Vec<f64> = (0..image.pix.len())
            .filter(good)
            .map(|i| {
                let [p, t, w] = [&image.pix, &truth, &image.ivar].map(|a| f64::from(a.as_slice().unwrap()[i]));
                (p - t) * w.sqrt()
            })
            .collect();
        let n = pulls.len() as f64;
        let mean = pulls.iter().sum::<f64>() / n;
        let width = (pulls.iter().map(|p| p * p).sum::<f64>() / n).sqrt();
        // the variance is estimated from the image: 2 % of slack on its square root
        assert!(mean.abs() < 4.0 / n.sqrt() && (width - 1.0).abs() < 0.02, "{camera}: {mean} {width}");
    }
}

#[test]
fn the_raw_form_holds_the_same_exposure_and_bad_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = simulate(folder.path(), "raw", &["--raw"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.path().join("raw/20260101/desi-00219201.fits.fz");
    assert_eq!(RawExposure::cameras_of(&path).unwrap(), Band::ALL.map(|b| Camera::new(b, 0)));
    let raw = RawExposure::read_camera(&path, Camera::new(Band::R, 0)).unwrap();
    assert_eq!(raw.adu.dim(), (512 + 66, 140 + 142));
    assert_eq!((raw.header.str("FLAVOR"), raw.header.float("EXPTIME")), (Some("science"), Some(1000.0)));
    assert!(!folder.path().join("raw/20260101/pix-r0-00219201.fits").exists());

    assert_eq!(simulate(folder.path(), "x", &["--spectrographs", "3"]).status.code(), Some(2));
    assert_eq!(simulate(folder.path(), "x", &["--sky", "/no/sky.fits"]).status.code(), Some(3));
    assert_eq!(simulate(folder.path(), "x", &["--exptime", "-5"]).status.code(), Some(2));
}
