//! A small example of every product, full of values that differ from each other.
#![allow(dead_code)]

use datamodel::psf::LegendreRows;
use datamodel::raw::RawImage;
use datamodel::stdstars::StarFit;
use datamodel::zbest::Redshift;
use datamodel::*;
use ndarray::{Array2, Array3};
use std::path::PathBuf;

pub const NSPEC: usize = 4;
pub const NWAVE: usize = 30;

/// Real files for tests, if they are there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_string();
    let file = PathBuf::from(std::env::var("SPECMILL_SHARED").unwrap_or(default)).join("data").join(path);
    if !file.exists() {
        eprintln!("skipped: {} is absent", file.display());
        return None;
    }
    Some(file)
}

fn plane(offset: f32) -> Array2<f32> {
    Array2::from_shape_fn((NSPEC, NWAVE), |(i, j)| offset + i as f32 + 0.01 * j as f32)
}

fn mask() -> Array2<u32> {
    Array2::from_shape_fn((NSPEC, NWAVE), |(i, j)| if (i + j) % 7 == 0 { 1 << (i + 2) } else { 0 })
}

pub fn wave() -> Vec<f64> {
    (0..NWAVE).map(|i| 5760.0 + 0.8 * i as f64).collect()
}

fn resolution() -> Array3<f32> {
    Array3::from_shape_fn((NSPEC, 5, NWAVE), |(i, k, j)| 0.2 + 0.001 * (i + k + j) as f32)
}

pub fn header() -> Header {
    let mut h = Header::new();
    h.set("CAMERA", "r0", "spectrograph camera").set("EXPID", 51060, "exposure").set("NIGHT", 20260101, "");
    h.set("FLAVOR", "science", "").set("OBSTYPE", "SCIENCE", "").set("EXPTIME", 900.5, "[s] shutter open");
    h.set("MJD-OBS", 61041.123456789, "[day]").set("SIMULATE", true, "");
    h.set("ESO DET CHIP NAME", "a long name of a chip ".repeat(6) + "x", "").set("A B", -1.25e-300, "");
    h.set("IN_PSF", "/a/long/path/".repeat(12) + "psf-r0-00051060.fits", "");
    h
}

pub fn fibermap(n: usize) -> Fibermap {
    let strings = |v: &[&str], width| ColumnData::Str {
        width,
        values: v.iter().cycle().take(n).map(|s| s.to_string()).collect(),
    };
    let mut t = Table::new();
    t.set("TARGETID", "", ColumnData::I64((0..n).map(|i| 39_627_000_000_000_000 + i as i64).collect()));
    t.set("PETAL_LOC", "", ColumnData::I16(vec![0; n]));
    t.set("DEVICE_LOC", "", ColumnData::I32((0..n as i32).collect()));
    t.set("LOCATION", "", ColumnData::I64((0..n as i64).collect()));
    t.set("FIBER", "", ColumnData::I32((0..n as i32).collect()));
    t.set("FIBERSTATUS", "", ColumnData::I32((0..n).map(|i| if i == 3 { 1 << 16 } else { 0 }).collect()));
    t.set("TARGET_RA", "deg", ColumnData::F64((0..n).map(|i| 150.0 + 0.01 * i as f64).collect()));
    t.set("TARGET_DEC", "deg", ColumnData::F64((0..n).map(|i| 2.0 - 0.01 * i as f64).collect()));
    t.set("FA_TYPE", "", ColumnData::U8((0..n).map(|i| [1, 4, 3, 1][i % 4]).collect()));
    t.set("OBJTYPE", "", strings(&["TGT", "SKY", "TGT", "BAD"], 3));
    t.set("FLUX_R", "nanomaggy", ColumnData::F32((0..n).map(|i| 1.5 * (i + 1) as f32).collect()));
    t.set("DESI_TARGET", "", ColumnData::I64((0..n).map(|i| [2, 1 << 32, 1 << 33, 4][i % 4]).collect()));
    t.set("MWS_TARGET", "", ColumnData::I64(vec![0; n]));
    let mut header = Header::new();
    header.set("EXPID", 51060, "").set("NIGHT", 20260101, "").set("FLAVOR", "science", "").set("TILEID", 80693, "");
    Fibermap { header, table: t }
}

fn with_unit(unit: &str) -> Header {
    let mut h = header();
    if !unit.is_empty() {
        h.set("BUNIT", unit, "");
    }
    h
}

pub fn image() -> Image {
    let shape = (40, 50);
    Image {
        header: with_unit(units::ELECTRON),
        pix: Array2::from_shape_fn(shape, |(y, x)| (y * 50 + x) as f32 * 0.37 - 9.0),
        ivar: Array2::from_shape_fn(shape, |(y, x)| if (x + y) % 11 == 0 { 0.0 } else { 0.1 + 0.001 * x as f32 }),
        mask: Array2::from_shape_fn(
            shape,
            |(y, x)| if (x + y) % 11 == 0 { mask::ccd::COSMIC | mask::ccd::BADAMP } else { 0 },
        ),
        readnoise: Array2::from_shape_fn(shape, |(_, x)| if x < 25 { 2.5 } else { 3.25 }),
        fibermap: Some(fibermap(NSPEC)),
    }
}

pub fn frame() -> Frame {
    let mut scores = Table::new();
    scores.set("TARGETID", "", ColumnData::I64(fibermap(NSPEC).targetids()));
    scores.set("MEDIAN_RAW_SNR_R", "", ColumnData::F64(vec![1.5, 2.5, 3.5, 4.5]));
    Frame {
        header: with_unit(units::ELECTRON_PER_ANGSTROM),
        wave: wave(),
        flux: plane(10.0),
        ivar: plane(0.5),
        mask: mask(),
        resolution: resolution(),
        chi2pix: Some(plane(1.0)),
        fibermap: fibermap(NSPEC),
        scores: Some(scores),
    }
}

pub fn cframe() -> Frame {
    Frame { header: with_unit(units::FLUX), ..frame() }
}

pub fn fiberflat() -> Fiberflat {
    let mut header = header();
    header.set("CHI2PDF", 1.02, "");
    let meanspec = (0..NWAVE).map(|i| 1000.0 + 0.5 * i as f64).collect();
    Fiberflat {
        header,
        wave: wave(),
        fiberflat: plane(0.9),
        ivar: plane(5.0),
        mask: mask(),
        meanspec,
        fibermap: Some(fibermap(NSPEC)),
    }
}

pub fn sky() -> Sky {
    Sky {
        header: with_unit(units::ELECTRON_PER_ANGSTROM),
        wave: wave(),
        sky: plane(40.0),
        ivar: plane(2.0),
        mask: mask(),
        stat_ivar: Some(plane(3.0)),
        throughput_correction: Some(plane(1.0)),
    }
}

pub fn fluxcalib() -> FluxCalib {
    FluxCalib {
        header: with_unit(units::CALIBRATION),
        wave: wave(),
        calib: plane(30.0),
        ivar: plane(4.0),
        mask: mask(),
        fibercorr: Some([vec![1.0, 0.99, 0.98, 0.97], vec![1.01, 1.02, 1.03, 1.04]]),
        deconvolved: Some((0..NWAVE).map(|i| 30.0 + i as f64).collect()),
    }
}

pub fn stdstars() -> StdStars {
    let star = |fiber: i32| StarFit {
        targetid: 39_627_000_000_000_000 + i64::from(fiber),
        fiber,
        logg: 4.1,
        teff: 6000.0 + f64::from(fiber),
        feh: -1.2,
        chi2dof: 1.1,
        redshift: -1e-4,
        data_color: 0.31,
        model_color: 0.30,
        snr: [10.0, 20.0, 15.0],
    };
    StdStars {
        header: with_unit(units::FLUX),
        wave: (0..50).map(|i| 3500.0 + 1.3 * f64::from(i)).collect(),
        flux: Array2::from_shape_fn((2, 50), |(i, j)| 100.0 * (i + 1) as f32 + j as f32),
        fibers: vec![0, 2],
        stars: vec![star(0), star(2)],
        coeff: Array2::from_shape_fn((2, 3), |(i, j)| 0.25 * (i + j) as f64),
        fibermap: Some(fibermap(NSPEC).select(&[0, 2])),
        input_frames: vec![(20260101, 51060, "b0".into()), (20260101, 51060, "r0".into())],
    }
}

pub fn spectra() -> Spectra {
    let band = |start: f64| BandSpectra {
        wave: (0..NWAVE).map(|i| start + 0.8 * i as f64).collect(),
        flux: plane(1.0),
        ivar: plane(2.0),
        mask: mask(),
        resolution: resolution(),
    };
    let mut header = Header::new();
    header.set("SPGRP", "brick", "").set("BRICKNAM", "1500p020", "");
    Spectra {
        header,
        fibermap: fibermap(NSPEC),
        exp_fibermap: Some(fibermap(6)),
        bands: [(Band::B, band(3600.0)), (Band::R, band(5760.0)), (Band::Z, band(7520.0))].into(),
        scores: frame().scores,
    }
}

pub fn zbest() -> Zbest {
    // Values that f4 holds exactly, as the file does.
    let row = |i: usize| Redshift {
        targetid: 39_627_000_000_000_000 + i as i64,
        z: 0.1 * i as f64 + 1e-9,
        zerr: 0.0001f32 as f64,
        zwarn: if i == 1 { 4 } else { 0 },
        npixels: 7958,
        spectype: ["GALAXY", "QSO", "STAR", "GALAXY"][i].into(),
        subtype: if i == 2 { "G".into() } else { String::new() },
        coeff: (0..[10, 4, 5, 10][i]).map(|k| k as f64 - 2.5).collect(),
        chi2: 8000.5,
        deltachi2: 30.25,
        fitmethod: "PCA".into(),
    };
    let mut header = Header::new();
    header.set("RRVER", "0.1.0", "").set("TEMNAM00", "GALAXY", "");
    let mut tsnr2 = Table::new();
    tsnr2.set("TARGETID", "", ColumnData::I64(fibermap(NSPEC).targetids())).set(
        "TSNR2_LRG",
        "",
        ColumnData::F32(vec![1.0; NSPEC]),
    );
    let mut extra = Table::new();
    extra.set("PCA_SPECTYPE", "", ColumnData::Str { width: 6, values: vec!["GALAXY".into(); NSPEC] });
    Zbest {
        header,
        redshifts: (0..NSPEC).map(row).collect(),
        extra,
        fibermap: fibermap(NSPEC),
        exp_fibermap: Some(fibermap(6)),
        tsnr2: Some(tsnr2),
    }
}

fn legendre(nfiber: usize, ncoeff: usize, scale: f64, wavemin: f64, wavemax: f64) -> LegendreRows {
    let coeff =
        Array2::from_shape_fn((nfiber, ncoeff), |(f, k)| scale * (1.0 + 0.1 * f as f64) / (1.0 + k as f64).powi(3));
    LegendreRows { wavemin, wavemax, coeff }
}

pub fn psf() -> GaussHermitePsf {
    let (nfiber, deg) = (50, 2);
    let mut header = header();
    header.set("B00RCHI2", 1.05, "").set("B01RCHI2", 0.98, "");
    let mut parameters = std::collections::BTreeMap::new();
    for (name, value) in [("GHSIGX", 1.1), ("GHSIGY", 1.2), ("TAILAMP", 0.01), ("TAILCORE", 1.0), ("CONT", 0.0)] {
        parameters.insert(name.to_string(), legendre(nfiber, 4, value, 0.0, 1.0).coeff);
    }
    for (i, j) in (0..=deg).flat_map(|i| (0..=deg).map(move |j| (i, j))) {
        parameters.insert(format!("GH-{i}-{j}"), legendre(nfiber, 4, 0.01 * (i + 2 * j) as f64, 0.0, 1.0).coeff);
    }
    let mut unit = Array2::zeros((nfiber, 4));
    unit.column_mut(0).fill(1.0);
    parameters.insert("GH-0-0".into(), unit);
    GaussHermitePsf {
        header,
        x: legendre(nfiber, 7, 200.0, 5543.0, 7826.0),
        y: legendre(nfiber, 7, 2000.0, 5543.0, 7826.0),
        wavemin: 5543.0,
        wavemax: 7827.0,
        parameters,
        bundle: (0..nfiber as i32).map(|f| f / 25).collect(),
        status: (0..nfiber as i32).map(|f| if f / 25 == 1 { -1 } else { 0 }).collect(),
        fibermin: 0,
        ghdeg: (deg, deg),
        half_size: (8, 5),
        npix: (4128, 4114),
    }
}

pub fn psfboot() -> PsfBoot {
    let mut header = header();
    header.set("PSFTYPE", "bootcalib", "").set("NPIX_X", 4114, "").set("NPIX_Y", 4128, "");
    PsfBoot {
        header,
        x: legendre(50, 6, 200.0, 5600.0, 7700.0),
        y: legendre(50, 6, 2000.0, 5600.0, 7700.0),
        xsigma: vec![1.25; 50],
    }
}

pub fn raw() -> RawExposure {
    let image = |camera: &str, start: i32| {
        let mut header = Header::new();
        header.set("CAMERA", camera, "spectrograph camera").set("GAINA", 1.5, "").set("DATASECA", "[8:20, 2:30]", "");
        RawImage {
            header,
            adu: Array2::from_shape_fn((60, 40), |(y, x)| start + (31 * y as i32 + 17 * x as i32) % 997),
        }
    };
    let mut header = Header::new();
    header.set("EXPID", 51060, "").set("NIGHT", 20260101, "").set("EXPTIME", 900.5, "");
    RawExposure {
        header,
        cameras: [(Camera::new(Band::Z, 1), image("z1", 64000)), (Camera::new(Band::B, 0), image("b0", 1000))].into(),
    }
}
