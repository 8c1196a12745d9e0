//! The program on frames that are not as they should be.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use calibrate::testing::{Instrument, fibermap_of, frame_of};
use datamodel::{Fibermap, Frame, mask::spec};
use std::path::Path;

fn frame() -> Frame {
    let mut frame = frame_of(&Instrument::new(3, 40, 5), &vec![vec![100.0; 40]; 3], 3.0, 1);
    frame.fibermap = fibermap_of(&["TGT"; 3]);
    frame
}

/// Divides the frame of this file by a flat of one.
fn flatfielded(folder: &Path, infile: &Path) -> (Option<i32>, String) {
    let flat = folder.join("flat.fits");
    Instrument::new(3, 40, 5).unit_flat().write(&flat).unwrap();
    let out = folder.join("out.fits");
    let output = Command::cargo_bin("desi_procexp")
        .unwrap()
        .arg("-i")
        .arg(infile)
        .arg("--fiberflat")
        .arg(flat)
        .arg("-o")
        .arg(out)
        .env_remove("DESI_LOGLEVEL")
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_frame_without_targets_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let infile = folder.path().join("frame.fits");
    Frame { fibermap: Fibermap::numbered(0, 3), ..frame() }.write(&infile).unwrap();
    let (code, log) = flatfielded(folder.path(), &infile);
    assert_eq!(code, Some(1));
    assert!(log.contains("frame.fits[FIBERMAP]: columns: expected the targets of the fibres"), "{log}");
    assert!(!folder.path().join("out.fits").exists());
}

#[test]
fn bins_that_are_no_number_are_masked_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let infile = folder.path().join("frame.fits");
    let mut whole = frame();
    // a mark that no noise makes, to find the bin's bytes
    whole.flux[(1, 7)] = 12345.5;
    whole.write(&infile).unwrap();
    let mut bytes = std::fs::read(&infile).unwrap();
    let at = bytes.windows(4).position(|b| b == 12345.5f32.to_be_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_be_bytes());
    // without the sums, which would betray it before
    for key in [b"DATASUM ", b"CHECKSUM"] {
        while let Some(k) = bytes.windows(8).position(|b| b == key) {
            bytes[k..k + 8].copy_from_slice(b"NOSUM   ");
        }
    }
    std::fs::write(&infile, bytes).unwrap();
    let (code, log) = flatfielded(folder.path(), &infile);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("frame.fits[FLUX]: 1 bins are no measurement"), "{log}");
    let out = Frame::read(&folder.path().join("out.fits")).unwrap();
    assert_eq!((out.flux[(1, 7)], out.ivar[(1, 7)], out.mask[(1, 7)]), (0.0, 0.0, spec::NODATA));
    assert_eq!(out.mask.iter().filter(|m| **m != 0).count(), 1);
    assert!(out.ivar[(1, 8)] > 0.0);
}
