//! Rows of several exposures and arms find their place, whatever the order and however often.

use bricks::{Error, Group, Grouping, Part};
use calibrate::testing::{Instrument, fibermap_of, frame_of};
use datamodel::{Band, ColumnData, Frame, Table, mask::spec};
use ndarray::Axis;

/// A frame of 6 fibres on bricks A and B whose flux says which camera, exposure and fibre it is.
fn frame(camera: &str, expid: i64, ndiag: usize) -> Frame {
    let instrument = Instrument::new(6, 20, ndiag);
    let number = |f: usize| 1000.0 * expid as f64 + 100.0 * f64::from(camera.as_bytes()[0]) + f as f64;
    let mut frame = frame_of(&instrument, &(0..6).map(|f| vec![number(f); 20]).collect::<Vec<_>>(), 0.0, 1);
    frame
        .header
        .set("CAMERA", camera, "")
        .set("EXPID", expid, "")
        .set("NIGHT", 20260101, "")
        .set("MJD-OBS", 61000.5, "");
    frame.fibermap = fibermap_of(&["TGT", "SKY", "TGT", "BAD", "TGT", "TGT"]);
    let names = ["A", "A", "B", "A", "A", "B"].map(String::from).to_vec();
    frame.fibermap.table.set("BRICKNAME", "", ColumnData::Str { width: 8, values: names });
    // the same targets in reverse order in odd exposures
    let id = |i: i64| if expid % 2 == 1 { 200 - i } else { 100 + i };
    frame.fibermap.table.set("TARGETID", "", ColumnData::I64((0..6).map(id).collect()));
    let mut scores = Table::new();
    let name = format!("MEDIAN_CALIB_FLUX_{}", camera[..1].to_uppercase());
    scores.set(&name, "", ColumnData::F64((0..6).map(number).collect()));
    frame.scores = Some(scores);
    frame
}

fn brick(name: &str) -> Group {
    Group::Brick(name.to_string())
}

/// The rows of a brick in a frame.
fn part(name: &str, frame: &Frame, of: &str) -> Result<Part, Error> {
    let rows = brick(of).rows(&frame.fibermap);
    let select = |a: &ndarray::Array2<f32>| a.select(Axis(0), &rows);
    let frame = Frame {
        flux: select(&frame.flux),
        ivar: select(&frame.ivar),
        mask: frame.mask.select(Axis(0), &rows),
        resolution: frame.resolution.select(Axis(0), &rows),
        fibermap: frame.fibermap.select(&rows),
        scores: frame.scores.as_ref().map(|s| s.select(&rows)),
        ..frame.clone()
    };
    Part::of_frame(name, frame)
}

fn group(name: &str, parts: Vec<Part>) -> Result<datamodel::Spectra, Error> {
    bricks::group(&brick(name), parts)
}

fn parts(brick: &str) -> Result<Vec<Part>, Error> {
    let frames = [("b0", 6, 5), ("r0", 6, 7), ("b0", 7, 7), ("z0", 7, 7), ("r0", 7, 7), ("z0", 6, 7)];
    frames
        .iter()
        .filter(|f| *f != &("z0", 6, 7))
        .map(|&(c, e, n)| part(c, &frame(c, e, n), brick))
        .collect::<Result<_, _>>()
}

#[test]
fn rows_are_sorted_complete_and_say_where_they_come_from() {
    let spectra = group("A", parts("A").unwrap()).unwrap();
    let table = &spectra.fibermap.table;
    // fibres 0, 1 (sky) and 4; the broken fibre 3 is left out
    assert_eq!(table.ints("TARGETID").unwrap(), [100, 101, 104, 196, 199, 200]);
    assert_eq!(table.ints("EXPID").unwrap(), [6, 6, 6, 7, 7, 7]);
    assert_eq!(table.ints("FIBER").unwrap(), [0, 1, 4, 4, 1, 0]);
    assert_eq!(table.floats("MJD").unwrap(), [61000.5; 6]);
    for (band, letter) in [(Band::B, "b"), (Band::R, "r"), (Band::Z, "z")] {
        let b = &spectra.bands[&band];
        for row in 0..6 {
            let (expid, fiber) = (table.ints("EXPID").unwrap()[row], table.ints("FIBER").unwrap()[row]);
            if band == Band::Z && expid == 6 {
                assert!(
                    b.ivar.row(row).iter().all(|w| *w == 0.0) && b.mask.row(row).iter().all(|m| *m == spec::NODATA)
                );
            } else {
                let expected = 1000.0 * expid as f64 + 100.0 * f64::from(letter.as_bytes()[0]) + fiber as f64;
                assert!((f64::from(b.flux[(row, 10)]) - expected).abs() < 0.1, "{band} row {row}");
                assert_eq!((b.ivar[(row, 10)], b.mask[(row, 10)]), (1.0, 0));
            }
        }
    }
    // 5 diagonals in 7: padded on both sides
    let r = &spectra.bands[&Band::B].resolution;
    assert_eq!(r.dim(), (6, 7, 20));
    assert_eq!((r[(0, 0, 10)], r[(0, 6, 10)]), (0.0, 0.0));
    assert!(r[(0, 3, 10)] > r[(0, 2, 10)] && (r[(0, 2, 10)] - r[(0, 4, 10)]).abs() < 1e-6);
}

#[test]
fn scores_follow_their_rows() {
    let spectra = group("A", parts("A").unwrap()).unwrap();
    let scores = spectra.scores.unwrap();
    assert_eq!(scores.ints("TARGETID"), spectra.fibermap.table.ints("TARGETID"));
    assert_eq!(scores.floats("MEDIAN_CALIB_FLUX_B").unwrap(), [15800.0, 15801.0, 15804.0, 16804.0, 16801.0, 16800.0]);
    // exposure 6 has no z arm
    assert_eq!(scores.floats("MEDIAN_CALIB_FLUX_Z").unwrap(), [0.0, 0.0, 0.0, 19204.0, 19201.0, 19200.0]);
}

#[test]
fn the_order_of_the_frames_does_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.fits"), folder.path().join("2.fits"));
    group("B", parts("B").unwrap()).unwrap().write(&first).unwrap();
    let mut reversed = parts("B").unwrap();
    reversed.reverse();
    group("B", reversed).unwrap().write(&second).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    group("B", parts("B").unwrap()).unwrap().write(&first).unwrap();
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}

#[test]
fn what_does_not_belong_together_is_an_error() {
    assert_eq!(group("C", parts("C").unwrap()).unwrap_err(), Error::Empty { group: "brick C".into(), frames: 5 });
    let mut twice = parts("A").unwrap();
    twice.push(twice[0].clone());
    assert!(matches!(group("A", twice), Err(Error::Twice { .. })));
    let mut shifted = frame("b0", 8, 5);
    shifted.wave.iter_mut().for_each(|w| *w += 0.1);
    let mut mixed = parts("A").unwrap();
    mixed.push(part("late", &shifted, "A").unwrap());
    let text = group("A", mixed).unwrap_err().to_string();
    assert!(text.starts_with("b0 and late have different wavelengths: 20 bins from 4000.000"), "{text}");
    let mut unnamed = frame("b0", 8, 5);
    unnamed.header.remove("EXPID");
    assert_eq!(part("x", &unnamed, "A").unwrap_err().to_string(), "x[FLUX]: keyword EXPID is missing");
}

#[test]
fn what_is_added_later_makes_the_same_group() {
    let all = parts("A").unwrap();
    let (early, late): (Vec<Part>, Vec<Part>) =
        all.clone().into_iter().enumerate().fold((vec![], vec![]), |mut sets, (i, p)| {
            if i % 2 == 0 {
                sets.0.push(p)
            } else {
                sets.1.push(p)
            }
            sets
        });
    let whole = group("A", all).unwrap();
    let first = group("A", early).unwrap();
    let mut again = Part::of_group("before", first).unwrap();
    again.extend(late.clone());
    let second = group("A", again).unwrap();
    assert_eq!(second, whole);
    // once more changes nothing
    let mut again = Part::of_group("before", second).unwrap();
    again.extend(late);
    assert_eq!(group("A", again).unwrap(), whole);
}

#[test]
fn the_pixel_is_that_of_a_released_file() {
    let shared =
        std::env::var("SPECMILL_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let path = std::path::Path::new(&shared).join("data/spectra/desi/coadd-special-dark-27247.fits");
    if !path.is_file() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let fibermap = datamodel::Spectra::read(&path).unwrap().fibermap;
    assert_eq!(Grouping::Healpix.of_rows(&fibermap), [Some(Group::Healpix(27247))]);
}
