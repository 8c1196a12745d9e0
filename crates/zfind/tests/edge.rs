//! Data that cannot be fitted, or hardly: the right warnings, never a failure, other targets unharmed.

#![allow(clippy::unwrap_used)]

use datamodel::{
    Band, BandSpectra, ColumnData, Fibermap, Header, Spectra, Table, Zbest,
    mask::{fiber, zwarn},
    zbest::Redshift,
};
use ndarray::{Array2, Array3};
use std::{collections::BTreeMap, path::Path, process::Command};
use templates::{Igm, Method, Template};
use zfind::{
    finder::Finder,
    input::{Inputs, Source},
    output,
    spectrum::Grid,
};

const NWAVE: usize = 400;

/// Two vectors: a flat continuum, and three emission lines.
fn template(spectype: &str, lines: [f64; 3]) -> Template {
    let wave: Vec<f64> = (0..12000).map(|i| 2500.0 + 0.5 * f64::from(i)).collect();
    let line = |w: f64| lines.iter().map(|l| (-0.5 * ((w - l) / 4.0).powi(2)).exp()).sum::<f64>();
    let basis = Array2::from_shape_fn((2, wave.len()), |(v, i)| if v == 0 { 1.0 } else { line(wave[i]) });
    Template {
        spectype: spectype.into(),
        subtype: String::new(),
        version: "0".into(),
        source: "test".into(),
        wave,
        basis,
        redshifts: (0..400).map(|i| 10f64.powf(3e-4 * f64::from(i)) - 1.0).collect(),
        igm: Igm::None,
        method: Method::Pca,
    }
}

/// Spectra of the first template at z = 0.1, one a row, in the bands B and R.
fn spectra(ids: &[i64]) -> Spectra {
    let n = ids.len();
    let mut bands = BTreeMap::new();
    for (band, first) in [(Band::B, 4000.0), (Band::R, 5000.0)] {
        let wave: Vec<f64> = (0..NWAVE).map(|i| first + 2.0 * i as f64).collect();
        let line =
            |w: f64| [4000.0, 4900.0, 5100.0].iter().map(|l| (-0.5 * ((w / 1.1 - l) / 4.0).powi(2)).exp()).sum::<f64>();
        let noise = |r: usize, i: usize| ((r * 7919 + i * 104_729) % 1000) as f64 / 500.0 - 1.0;
        let flux = Array2::from_shape_fn((n, NWAVE), |(r, i)| (2.0 + 9.0 * line(wave[i]) + 0.2 * noise(r, i)) as f32);
        let mut resolution = Array3::zeros((n, 3, NWAVE));
        resolution.slice_mut(ndarray::s![.., 1, ..]).fill(1.0);
        let ivar = Array2::from_elem((n, NWAVE), 40.0);
        bands.insert(band, BandSpectra { wave, flux, ivar, mask: Array2::zeros((n, NWAVE)), resolution });
    }
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(ids.to_vec()));
    table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: vec!["TGT".into(); n] });
    table.set("FIBERSTATUS", "", ColumnData::I32(vec![0; n]));
    table.set("EXPID", "", ColumnData::I32((0..n as i32).collect()));
    table.set("NIGHT", "", ColumnData::I32(vec![20260101; n]));
    table.set("EXPTIME", "s", ColumnData::F64(vec![900.0; n]));
    Spectra {
        header: Header::new(),
        fibermap: Fibermap { header: Header::new(), table },
        exp_fibermap: None,
        bands,
        scores: None,
    }
}

fn fit(spectra: Spectra) -> Zbest {
    let grids = spectra.bands.iter().map(|(b, d)| (*b, std::sync::Arc::new(Grid::new(d.wave.clone())))).collect();
    let inputs = Inputs::new(vec![Source::Desi { spectra: Box::new(spectra), grids }], &[]);
    let templates = vec![template("GALAXY", [4000.0, 4900.0, 5100.0]), template("QSO", [4200.0, 4800.0, 4850.0])];
    let finder = Finder::new(templates, inputs.range(), 3, false);
    let answers: Vec<_> = inputs.targets.iter().map(|t| finder.run(inputs.target(t), None)).collect();
    output::zbest(&inputs, &finder, &answers, Header::new())
}

fn is_found(r: &Redshift) -> bool {
    r.zwarn == 0 && r.spectype == "GALAXY" && (r.z - 0.1).abs() < 3.0 * r.zerr.max(1e-5) && r.deltachi2 > 100.0
}

#[test]
fn bad_rows_are_told_and_good_ones_are_fitted() {
    let ids: Vec<i64> = (10..20).collect();
    let mut s = spectra(&ids);
    for data in s.bands.values_mut() {
        data.ivar.row_mut(1).fill(0.0);
        data.flux.row_mut(2).fill(f32::NAN);
        data.ivar.row_mut(4).fill(0.0);
        data.mask.row_mut(5).fill(1);
        for i in 0..NWAVE / 10 {
            data.flux[(6, 10 * i)] = f32::INFINITY;
            data.ivar[(6, 10 * i + 1)] = f32::NAN;
        }
    }
    if let Some(b) = s.bands.get_mut(&Band::B) {
        b.ivar.row_mut(3).fill(0.0);
        (100..103).for_each(|i| b.ivar[(4, i)] = 40.0);
    }
    let objtype = (0..10).map(|i| ["TGT", "SKY", "BAD"][[0, 0, 0, 0, 0, 0, 0, 1, 2, 0][i]].to_string()).collect();
    s.fibermap.table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: objtype });
    let status = (0..10).map(|i| if i == 9 { fiber::POORPOSITION as i32 } else { 0 }).collect();
    s.fibermap.table.set("FIBERSTATUS", "", ColumnData::I32(status));
    let z = fit(s).redshifts;
    assert_eq!(z.iter().map(|r| r.targetid).collect::<Vec<_>>(), ids);
    assert!(is_found(&z[0]) && is_found(&z[3]) && is_found(&z[6]), "{z:#?}");
    for i in [1, 2, 5] {
        assert_eq!((z[i].zwarn, z[i].npixels, z[i].z), (zwarn::NODATA | zwarn::LITTLE_COVERAGE, 0, 0.0));
        assert_eq!((z[i].spectype.as_str(), z[i].fitmethod.as_str()), ("GALAXY", "NONE"));
    }
    assert_eq!(z[4].npixels, 3);
    assert!(z[4].zwarn & zwarn::LITTLE_COVERAGE != 0 && z[4].z.is_finite());
    assert!(z[7].zwarn == zwarn::SKY && z[7].z != 0.0);
    assert_eq!((z[8].zwarn, z[8].z, z[8].coeff.len()), (zwarn::BAD_TARGET | zwarn::NODATA, 0.0, 0));
    assert_eq!(z[9].zwarn, zwarn::POORDATA);
}

#[test]
fn duplicates_are_coadded_and_counted() {
    let single = fit(spectra(&[5, 6])).redshifts;
    let mut s = spectra(&[5, 6, 5, 5]);
    s.fibermap.table.set("FIBERSTATUS", "", ColumnData::I32(vec![0, 0, 0, fiber::BADFIBER as i32]));
    s.bands.values_mut().for_each(|b| b.flux.row_mut(3).fill(1e4));
    let double = fit(s);
    assert_eq!(double.redshifts.len(), 2);
    assert!(double.redshifts.iter().all(is_found));
    // twice the data; the third exposure's fibre is bad
    let ratio = single[0].zerr / double.redshifts[0].zerr;
    assert!((ratio - 2f64.sqrt()).abs() < 0.1, "{ratio}");
    let t = &double.fibermap.table;
    assert_eq!((t.ints("COADD_NUMEXP"), t.ints("COADD_FIBERSTATUS")), (Some(vec![3, 1]), Some(vec![0, 0])));
    assert_eq!(t.floats("COADD_EXPTIME"), Some(vec![2700.0, 900.0]));
    assert!(t.column("EXPID").is_none());
    assert_eq!(double.exp_fibermap.map(|e| e.len()), Some(4));
}

fn desi_zfind(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_desi_zfind"));
    let output = command.env_remove("RR_TEMPLATE_DIR").args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_program_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (code, log) = desi_zfind(&["--infiles", &path("absent.fits"), "-o", &path("z.fits")]);
    assert!(code == Some(3) && log.contains("absent.fits"), "{code:?} {log}");
    let (code, _) = desi_zfind(&["-o", &path("z.fits")]);
    assert_eq!(code, Some(2));
    let empty = spectra(&[1, 2]);
    let none = Spectra {
        fibermap: empty.fibermap.select(&[]),
        bands: empty.bands.iter().map(|(b, d)| (*b, rows_of(d, 0))).collect(),
        ..empty
    };
    // a file without rows may be refused on writing already
    if none.write(Path::new(&path("empty.fits"))).is_ok() {
        let (code, log) = desi_zfind(&["--infiles", &path("empty.fits"), "-o", &path("z.fits")]);
        assert!(code == Some(1) && log.contains("empty.fits"), "{code:?} {log}");
    }
    assert!(!Path::new(&path("z.fits")).exists());
    spectra(&[1, 2]).write(Path::new(&path("s.fits"))).unwrap();
    let (code, log) = desi_zfind(&["--infiles", &path("s.fits"), "-o", &path("z.fits"), "--targetids", "7"]);
    assert!(code == Some(1) && log.contains("--targetids"), "{code:?} {log}");
}

fn rows_of(data: &BandSpectra, n: usize) -> BandSpectra {
    let rows = ndarray::s![..n, ..];
    BandSpectra {
        wave: data.wave.clone(),
        flux: data.flux.slice(rows).to_owned(),
        ivar: data.ivar.slice(rows).to_owned(),
        mask: data.mask.slice(rows).to_owned(),
        resolution: data.resolution.slice(ndarray::s![..n, .., ..]).to_owned(),
    }
}

#[test]
fn a_brick_of_a_production_gives_the_same_bytes_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let brick = folder.path().join("prod/bricks/3338p190");
    spectra(&(0..7).collect::<Vec<_>>()).write(&brick.join("brick-3338p190.fits")).unwrap();
    let run = |threads: &str| {
        let status = Command::new(env!("CARGO_BIN_EXE_desi_zfind"))
            .env("DESI_SPECTRO_REDUX", folder.path())
            .env("SPECPROD", "prod")
            .env_remove("RR_TEMPLATE_DIR")
            .args(["--brick", "3338p190", "--threads", threads])
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        std::fs::read(brick.join("zbest-3338p190.fits")).unwrap()
    };
    assert_eq!(run("1"), run("3"));
}
