//! Rows of a frame are those of the whole, and damage costs only the bins that have it.

mod common;

use datamodel::{Frame, mask::spec};
use ndarray::Axis;

#[test]
fn rows_are_those_of_the_whole_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.fits");
    common::frame().write(&path).unwrap();
    let whole = Frame::read(&path).unwrap();
    let rows = [2, 0, 1];
    let some = Frame::read_rows(&path, |fibermap| {
        assert_eq!(fibermap.len(), whole.nspec());
        rows.to_vec()
    })
    .unwrap();
    assert_eq!((&some.header, &some.wave), (&whole.header, &whole.wave));
    assert_eq!(some.flux, whole.flux.select(Axis(0), &rows));
    assert_eq!(some.ivar, whole.ivar.select(Axis(0), &rows));
    assert_eq!(some.mask, whole.mask.select(Axis(0), &rows));
    assert_eq!(some.resolution, whole.resolution.select(Axis(0), &rows));
    assert_eq!(some.fibermap, whole.fibermap.select(&rows));
    assert_eq!(some.scores, whole.scores.map(|s| s.select(&rows)));
    assert_eq!(Frame::read_rows(&path, |_| vec![]).unwrap().nspec(), 0);
    assert!(Frame::read_rows(&path, |_| vec![99]).unwrap_err().to_string().contains("rows"));
}

#[test]
fn a_bin_that_is_no_number_loses_its_weight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.fits");
    let frame = common::frame();
    frame.write(&path).unwrap();
    let value = frame.flux[(1, 2)].to_be_bytes();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|w| w == value).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    let read = Frame::read_rows(&path, |_| vec![0, 1]).unwrap();
    assert_eq!((read.flux[(1, 2)], read.ivar[(1, 2)]), (0.0, 0.0));
    assert!(read.mask[(1, 2)] & spec::NODATA != 0);
}
