//! The program on a frame that does not say what its fibres look at.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use calibrate::testing::{Instrument, frame_of};
use datamodel::{Fibermap, Frame};

#[test]
fn a_frame_without_targets_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let frame = frame_of(&Instrument::new(3, 40, 5), &vec![vec![100.0; 40]; 3], 3.0, 1);
    Frame { fibermap: Fibermap::numbered(0, 3), ..frame }.write(&path("frame.fits")).unwrap();
    let mut command = Command::cargo_bin("desi_fluxcal").unwrap();
    for (flag, name) in
        [("-i", "frame.fits"), ("--fiberflat", "f"), ("--sky", "s"), ("--models", "m"), ("-o", "calib.fits")]
    {
        command.arg(flag).arg(path(name));
    }
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("frame.fits[FIBERMAP]: columns: expected the targets of the fibres"), "{log}");
    assert!(!path("calib.fits").exists());
}
