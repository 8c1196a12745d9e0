//! Data that cannot be fitted, or hardly: the right warnings, never a failure, other targets unharmed.

#![allow(clippy::unwrap_used)]

mod common;

use common::synthetic::{NWAVE, is_found, spectra, templates};
use datamodel::{
    Band, ColumnData, Header, Spectra, Zbest,
    mask::{fiber, zwarn},
};
use std::process::Command;
use zfind::{
    finder::Finder,
    input::{Inputs, Source},
    output,
    spectrum::Grid,
};

fn fit(spectra: Spectra) -> Zbest {
    let grids = spectra.bands.iter().map(|(b, d)| (*b, std::sync::Arc::new(Grid::new(d.wave.clone())))).collect();
    let inputs = Inputs::new(vec![Source::Desi { spectra: Box::new(spectra), grids }], &[]);
    let finder = Finder::new(templates(), inputs.range(), 3, false);
    let answers: Vec<_> = inputs.targets.iter().map(|t| finder.run(inputs.target(t), None)).collect();
    output::zbest(&inputs, &finder, &answers, Header::new())
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
    assert_eq!((t.ints("COADD_NUMEXP"), t.ints("COADD_FIBERSTATUS")), (Some(vec![2, 1]), Some(vec![0, 0])));
    assert_eq!(t.floats("COADD_EXPTIME"), Some(vec![1800.0, 900.0]));
    assert!(t.column("EXPID").is_none());
    assert_eq!(double.exp_fibermap.map(|e| e.len()), Some(4));
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
