//! Sums against the truth that the exposures were made from, and exposures that are damaged or absent.

#![allow(clippy::unwrap_used)]

use coadd::{Error, Options, merge, over_exposures};
use datamodel::{
    Band, BandSpectra, ColumnData, Fibermap, Header, Spectra, Table,
    mask::{fiber, spec},
};
use ndarray::{Array2, Array3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::collections::BTreeMap;

const NWAVE: usize = 400;

/// The true flux of a target.
fn truth(target: i64, wave: f64) -> f64 {
    3.0 + target as f64 + (wave / 20.0).sin()
}

/// Grids of one phase that overlap by 50 bins.
fn wave(band: Band) -> Vec<f64> {
    let first = match band {
        Band::B => 0,
        Band::R => NWAVE - 50,
        Band::Z => 2 * (NWAVE - 50),
    };
    (first..first + NWAVE).map(|j| 5600.0 + 0.8 * j as f64).collect()
}

/// `exposures` of each of `targets`, noise of the inverse variance given, a resolution matrix of 5 diagonals.
fn spectra(targets: usize, exposures: usize, seed: u64) -> Spectra {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = targets * exposures;
    let id = |row: usize| (row / exposures) as i64;
    let mut bands = BTreeMap::new();
    for band in Band::ALL {
        let wave = wave(band);
        let ivar = Array2::from_shape_fn((n, NWAVE), |_| rng.random_range(0.5..4.0f32));
        let flux = Array2::from_shape_fn((n, NWAVE), |at| {
            let noise: f64 = rng.sample(StandardNormal);
            (truth(id(at.0), wave[at.1]) + noise / f64::from(ivar[at]).sqrt()) as f32
        });
        let profile = [0.05, 0.2, 0.5, 0.2, 0.05];
        let resolution = Array3::from_shape_fn((n, 5, NWAVE), |(_, k, _)| profile[k]);
        bands.insert(band, BandSpectra { wave, flux, ivar, mask: Array2::zeros((n, NWAVE)), resolution });
    }
    let mut table = Table::new();
    let each = |f: &dyn Fn(usize) -> i32| ColumnData::I32((0..n).map(f).collect());
    table.set("TARGETID", "", ColumnData::I64((0..n).map(id).collect()));
    table.set("FIBERSTATUS", "", ColumnData::I32(vec![0; n]));
    table.set("EXPID", "", each(&|row| (row % exposures) as i32));
    table.set("NIGHT", "", each(&|row| 20260101 + (row % exposures / 2) as i32));
    table.set("EXPTIME", "s", ColumnData::F32(vec![100.0; n]));
    Spectra { header: Header::new(), fibermap: Fibermap { header: Header::new(), table }, bands, ..Default::default() }
}

fn sum(spectra: &Spectra) -> Spectra {
    over_exposures(spectra, Options::default()).unwrap()
}

fn set_status(spectra: &mut Spectra, row: usize, bits: u32) {
    let mut status: Vec<i32> = spectra.fibermap.fiberstatus().into_iter().map(|s| s as i32).collect();
    status[row] = bits as i32;
    spectra.fibermap.table.set("FIBERSTATUS", "", ColumnData::I32(status));
}

/// Standard deviation of the good bins' pulls against the truth, and how many there are.
fn pulls(data: &BandSpectra, target: usize) -> (f64, usize) {
    let good: Vec<f64> = (0..data.wave.len())
        .filter(|&j| data.mask[[target, j]] == 0 && data.ivar[[target, j]] > 0.0)
        .map(|j| {
            let sigma = 1.0 / f64::from(data.ivar[[target, j]]).sqrt();
            (f64::from(data.flux[[target, j]]) - truth(target as i64, data.wave[j])) / sigma
        })
        .collect();
    ((good.iter().map(|p| p * p).sum::<f64>() / good.len() as f64).sqrt(), good.len())
}

#[test]
fn sums_have_the_noise_that_they_claim_also_over_the_cameras() {
    let coadd = sum(&spectra(4, 6, 1));
    let joined = merge(coadd.clone()).unwrap();
    let all = &joined.bands[&Band::B];
    assert_eq!(all.wave.len(), 3 * NWAVE - 100);
    assert!(all.wave.windows(2).all(|w| (w[1] - w[0] - 0.8).abs() < 1e-9));
    for target in 0..4 {
        for data in coadd.bands.values() {
            let (width, n) = pulls(data, target);
            assert!((width - 1.0).abs() < 4.0 / (2.0 * n as f64).sqrt(), "{width}");
        }
        let (width, n) = pulls(all, target);
        assert!((width - 1.0).abs() < 4.0 / (2.0 * n as f64).sqrt(), "{width}");
        // the overlap knows both bands
        let (b, r) = (&coadd.bands[&Band::B], &coadd.bands[&Band::R]);
        let expected = b.ivar[[target, NWAVE - 10]] + r.ivar[[target, 40]];
        assert!((all.ivar[[target, NWAVE - 10]] / expected - 1.0).abs() < 1e-6);
        // rows of the resolution still sum to 1
        let row: f32 = (0..5).map(|k| all.resolution[[target, k, NWAVE - 10 + 2 - k]]).sum();
        assert!((row - 1.0).abs() < 1e-5, "{row}");
    }
}

#[test]
fn a_cosmic_ray_in_one_exposure_is_left_out() {
    let mut spectra = spectra(1, 4, 2);
    let data = spectra.bands.get_mut(&Band::R).unwrap();
    let hits = [(1, 100), (1, 101), (2, 250), (3, 399)];
    hits.iter().for_each(|&at| data.flux[at] += 60.0);
    let kept = over_exposures(&spectra, Options { nsig: 0.0, ..Default::default() }).unwrap();
    let coadd = sum(&spectra);
    let pull = |s: &Spectra, j: usize| {
        let d = &s.bands[&Band::R];
        (f64::from(d.flux[[0, j]]) - truth(0, d.wave[j])) * f64::from(d.ivar[[0, j]]).sqrt()
    };
    for (_, j) in hits {
        assert!(pull(&kept, j) > 10.0 && pull(&coadd, j).abs() < 4.5, "{j}: {}", pull(&coadd, j));
        assert_eq!(coadd.bands[&Band::R].mask[[0, j]], 0);
    }
    let lost = 1.0 - coadd.bands[&Band::R].ivar.sum() / kept.bands[&Band::R].ivar.sum();
    // the hits and their neighbours are 8 of 1,600 bins; noise beyond 4 sigma takes hardly any
    assert!((0.004..0.008).contains(&lost), "{lost}");
}

#[test]
fn what_is_damaged_or_absent_is_masked_and_said() {
    let mut spectra = spectra(4, 3, 3);
    // target 0: an exposure without z arm; target 1: no fibre is good; target 2: an arm lost in all exposures; target 3: half
    // of the bins masked in all exposures, some in one
    let z = spectra.bands.get_mut(&Band::Z).unwrap();
    z.ivar.row_mut(1).fill(0.0);
    z.mask.row_mut(1).fill(spec::NODATA);
    (3..6).for_each(|row| set_status(&mut spectra, row, fiber::BADFIBER));
    (6..9).for_each(|row| set_status(&mut spectra, row, fiber::BADAMPR));
    let b = spectra.bands.get_mut(&Band::B).unwrap();
    b.mask.slice_mut(ndarray::s![9..12, ..NWAVE / 2]).fill(spec::BADSKY);
    b.mask.slice_mut(ndarray::s![9, 300..310]).fill(spec::COSMIC);
    let coadd = sum(&spectra);
    let table = &coadd.fibermap.table;
    assert_eq!(table.ints("COADD_NUMEXP").unwrap(), [3, 0, 3, 3]);
    assert_eq!(table.ints("COADD_NUMNIGHT").unwrap(), [2, 0, 2, 2]);
    assert_eq!(table.floats("COADD_EXPTIME").unwrap(), [300.0, 0.0, 300.0, 300.0]);
    let status: Vec<i64> = [0, fiber::BADFIBER, fiber::BADAMPR, 0].map(i64::from).to_vec();
    assert_eq!(table.ints("COADD_FIBERSTATUS").unwrap(), status);
    let exposures = &coadd.exp_fibermap.as_ref().unwrap().table;
    assert_eq!(exposures.ints("IN_COADD_Z").unwrap(), [1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(exposures.ints("IN_COADD_R").unwrap(), [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]);

    let nothing = |band: Band, target: usize| {
        let d = &coadd.bands[&band];
        d.ivar.row(target).iter().all(|w| *w == 0.0)
            && d.flux.row(target).iter().all(|f| *f == 0.0)
            && d.mask.row(target).iter().all(|m| m & spec::NODATA != 0)
    };
    assert!(Band::ALL.into_iter().all(|band| nothing(band, 1)));
    assert!(nothing(Band::R, 2) && !nothing(Band::B, 2) && !nothing(Band::Z, 0));
    let b = &coadd.bands[&Band::B];
    assert!((0..NWAVE / 2).all(|j| b.mask[[3, j]] == spec::BADSKY && b.ivar[[3, j]] > 0.0));
    assert!((NWAVE / 2..NWAVE).all(|j| b.mask[[3, j]] == 0));
    let two = spectra.bands[&Band::B].ivar[[10, 305]] + spectra.bands[&Band::B].ivar[[11, 305]];
    assert!((b.ivar[[3, 305]] / two - 1.0).abs() < 1e-6);
    // joined, the arms that are there fill the overlap
    let joined = merge(coadd.clone()).unwrap();
    let all = &joined.bands[&Band::B];
    assert_eq!(all.mask[[2, NWAVE - 10]], 0);
    assert!(all.mask[[2, NWAVE + 50]] & spec::NODATA != 0 && all.mask[[2, 2 * NWAVE]] == 0);
    assert!(joined.scores.unwrap().floats("MEDIAN_COADD_FLUX_R").unwrap()[2] == 0.0);
}

#[test]
fn spectra_that_cannot_be_summed_are_refused() {
    let mut shifted = spectra(1, 1, 4);
    shifted.bands.get_mut(&Band::R).unwrap().wave.iter_mut().for_each(|w| *w += 0.1);
    let error = merge(sum(&shifted)).unwrap_err();
    assert!(matches!(error, Error::Grids { first: Band::B, second: Band::R, .. }), "{error}");
    let mut anonymous = spectra(1, 1, 4);
    anonymous.fibermap = Fibermap::numbered(0, 1);
    assert_eq!(over_exposures(&anonymous, Options::default()).unwrap_err(), Error::NoTargets);
}

#[test]
fn the_program_survives_an_exposure_of_nans_and_writes_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = spectra(2, 3, 5);
    good.write(&path("spectra.fits")).unwrap();
    // exposure 1 of target 0 becomes NaN on disk
    let row: Vec<u8> = good.bands[&Band::B].flux.row(1).iter().flat_map(|f| f.to_be_bytes()).collect();
    let mut bytes = std::fs::read(path("spectra.fits")).unwrap();
    let at = bytes.windows(row.len()).position(|w| w == row).unwrap();
    bytes[at..at + row.len()].copy_from_slice(&f32::NAN.to_be_bytes().repeat(NWAVE));
    for key in [&b"CHECKSUM="[..], b"DATASUM ="] {
        // without sums the damage is not one of the disk's
        while let Some(card) = bytes.windows(9).position(|w| w == key) {
            bytes[card..card + 8].copy_from_slice(b"COMMENT ");
        }
    }
    std::fs::write(path("spectra.fits"), bytes).unwrap();
    for (name, flags) in
        [("coadd.fits", &[][..]), ("again.fits", &["--threads", "1"]), ("brz.fits", &["--coadd-cameras"])]
    {
        let mut command = assert_cmd::Command::cargo_bin("desi_coadd").unwrap();
        command.arg("-i").arg(path("spectra.fits")).arg("-o").arg(path(name)).args(flags).assert().success();
    }
    assert!(std::fs::read(path("coadd.fits")).unwrap() == std::fs::read(path("again.fits")).unwrap());
    let coadd = Spectra::read(&path("coadd.fits")).unwrap();
    let b = &coadd.bands[&Band::B];
    let two = good.bands[&Band::B].ivar[[0, 7]] + good.bands[&Band::B].ivar[[2, 7]];
    assert!((b.ivar[[0, 7]] / two - 1.0).abs() < 1e-6 && b.mask[[0, 7]] == 0);
    assert_eq!(Spectra::read(&path("brz.fits")).unwrap().bands[&Band::B].wave.len(), 3 * NWAVE - 100);
}
