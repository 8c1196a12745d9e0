//! The program on files: one group or all, and two processes that add to the same brick at once.

#![allow(clippy::unwrap_used)]

use assert_cmd::{Command, cargo::CommandCargoExt};
use calibrate::testing::{Instrument, fibermap_of, frame_of};
use datamodel::{Band, ColumnData, Spectra};
use std::path::{Path, PathBuf};

/// A calibrated frame of 4 fibres, the first two on brick A and in one pixel, the others on B and in another.
fn write_frame(folder: &Path, camera: &str, night: i64, expid: i64) -> PathBuf {
    let instrument = Instrument::new(4, 20, 5);
    let mut frame = frame_of(&instrument, &vec![vec![expid as f64; 20]; 4], 0.0, 1);
    frame.header.set("CAMERA", camera, "").set("EXPID", expid, "").set("NIGHT", night, "");
    frame.header.set("BUNIT", "10**-17 erg/(s cm2 Angstrom)", "");
    frame.fibermap = fibermap_of(&["TGT"; 4]);
    let table = &mut frame.fibermap.table;
    table.set("BRICKNAME", "", ColumnData::Str { width: 8, values: ["A", "A", "B", "B"].map(String::from).to_vec() });
    table.set("TARGETID", "", ColumnData::I64(vec![1, 2, 3, 4]));
    table.set("TARGET_RA", "", ColumnData::F64(vec![10.0, 10.01, 200.0, 200.01]));
    table.set("TARGET_DEC", "", ColumnData::F64(vec![5.0, 5.0, -5.0, -5.0]));
    let path = folder.join(format!("cframe-{camera}-{expid:08}.fits"));
    frame.write(&path).unwrap();
    path
}

fn bricks(arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("desi_bricks").unwrap().args(arguments).output().unwrap()
}

fn exposures(path: &Path) -> Vec<i64> {
    Spectra::read(path).unwrap().fibermap.table.ints("EXPID").unwrap()
}

#[test]
fn all_groups_of_the_frames_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["b0", "r0"].map(|c| write_frame(folder.path(), c, 20260101, 7).display().to_string());
    let out = folder.path().join("out").display().to_string();
    for group in ["brick", "healpix"] {
        let output = bricks(&["--group", group, "--infiles", &paths[0], &paths[1], "--outdir", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let one = folder.path().join("one.fits");
    let output = bricks(&["--brick", "A", "--infiles", &paths[1], &paths[0], "-o", &one.display().to_string()]);
    assert!(output.status.success());
    let brick = Path::new(&out).join("A/brick-A.fits");
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&brick).unwrap());
    assert_eq!(Spectra::read(&brick).unwrap().bands.keys().copied().collect::<Vec<_>>(), [Band::B, Band::R]);

    let pixel = bricks::healpix::pixel(64, 10.0, 5.0).unwrap();
    let spectra = Spectra::read(&Path::new(&out).join(bricks::Group::Healpix(pixel).path())).unwrap();
    assert_eq!(spectra.fibermap.targetids(), [1, 2]);
    assert_eq!((spectra.header.int("HPXPIXEL"), spectra.header.int("HPXNSIDE")), (Some(pixel as i64), Some(64)));
    let output = bricks(&["--group", "healpix", "--brick", "49152", "--infiles", &paths[0], "-o", "x.fits"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn nights_that_are_added_at_once_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let nights: Vec<Vec<PathBuf>> = (0..6)
        .map(|night| {
            ["b0", "r0", "z0"].iter().map(|c| write_frame(folder.path(), c, 20260101 + night, 100 + night)).collect()
        })
        .collect();
    let start = |frames: &Vec<PathBuf>| {
        let mut command = std::process::Command::cargo_bin("desi_bricks").unwrap();
        command.args(["--update", "--outdir", &out, "--infiles"]).args(frames);
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    // each night twice: adding is idempotent
    let children: Vec<_> = nights.iter().chain(&nights).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all: Vec<PathBuf> = nights.concat();
    for name in ["A", "B"] {
        let brick = Path::new(&out).join(format!("{name}/brick-{name}.fits"));
        let mut expected: Vec<i64> = (100..106).chain(100..106).collect();
        expected.sort_unstable();
        let mut found = exposures(&brick);
        found.sort_unstable();
        assert_eq!(found, expected);
        let once = folder.path().join("once.fits");
        let mut command = Command::cargo_bin("desi_bricks").unwrap();
        command.args(["--brick", name, "-o"]).arg(&once).arg("--infiles").args(&all).assert().success();
        assert!(std::fs::read(&once).unwrap() == std::fs::read(&brick).unwrap());
    }
}
