//! Template files of redrock and SDSS, and the star models of SDSS, as they are distributed.

#![allow(clippy::unwrap_used)]

mod common;

use numerics::interp;
use templates::models::{Kind, Library};
use templates::{Igm, Method, StarGrid, Template, load};

#[test]
fn redrocks_files_load_with_their_grids_and_igm() {
    let Some(folder) = common::shared("templates") else { return };
    let set = load(&[folder.join("redrock")]).unwrap();
    let names: Vec<String> = set.iter().map(Template::full_type).collect();
    let expected = [
        "GALAXY",
        "QSO:::HIZ",
        "QSO:::LOZ",
        "STAR:::A",
        "STAR:::B",
        "STAR:::CV",
        "STAR:::F",
        "STAR:::G",
        "STAR:::K",
        "STAR:::M",
        "STAR:::WD",
    ];
    assert_eq!(names, expected);

    let galaxy = &set[0];
    assert_eq!((galaxy.basis.dim(), galaxy.igm, galaxy.method), ((5, 88334), Igm::None, Method::Pca));
    assert_eq!(galaxy.version, "0.0");
    assert!((galaxy.wave[10] - (1166.666666666667 + 1.0)).abs() < 1e-9);
    assert!((galaxy.redshifts[0] + 0.005).abs() < 1e-12 && galaxy.redshifts.len() == 1446);

    let loz = &set[2];
    assert_eq!((loz.basis.dim(), loz.igm, loz.redshifts.len()), ((4, 8603), Igm::Kamble20, 788));
    assert!((loz.wave[0].log10() - 3.1236).abs() < 1e-12 && (loz.wave[1].log10() - 3.1237).abs() < 1e-12);
    let star = &set[3];
    assert_eq!((star.igm, star.version.as_str(), star.redshifts.len()), (Igm::None, "0.1", 101));

    // a file by its name, and SDSS's
    let one = load(&[folder.join("redrock/rrtemplate-STAR-A-v0.1.fits")]).unwrap();
    assert_eq!(&one[0], star);
    let sdss = Template::read(&folder.join("sdss/spEigenGal-56436.fits")).unwrap();
    assert_eq!((sdss.spectype.as_str(), sdss.basis.nrows()), ("GALAXY", 4));
    assert!((sdss.wave[0].log10() - 3.073).abs() < 1e-9);
    assert!(load(&[folder.join("absent")]).is_err() && load(std::slice::from_ref(&folder)).is_err());
}

/// Every file that is distributed loads, but for one that does not say which IGM its quasars were corrected for.
#[test]
fn every_file_loads_or_says_that_its_igm_is_not_known() {
    let Some(folder) = common::shared("templates") else { return };
    let (mut read, mut refused) = (0, vec![]);
    for file in ["redrock", "sdss"].iter().flat_map(|f| std::fs::read_dir(folder.join(f)).unwrap()) {
        let path = file.unwrap().path();
        match Template::read(&path) {
            Ok(t) => {
                assert!(t.basis.ncols() == t.wave.len() && t.wave.windows(2).all(|w| w[0] < w[1]), "{t:?}");
                read += 1;
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    assert!(read >= 12, "{read} read, {refused:?}");
    for error in refused {
        let told =
            ["spEigenQSO", "RRIGM", "None, Calura12, Kamble20 or Inoue14"].iter().all(|text| error.contains(text));
        assert!(told, "{error}");
    }
}

#[test]
fn models_are_drawn_from_redrocks_files() {
    let Some(folder) = common::shared("templates") else { return };
    let library = Library::from_folder(&folder.join("redrock")).unwrap();
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for kind in [Kind::Bgs, Kind::Lrg, Kind::Elg, Kind::Qso, Kind::Star, Kind::Standard] {
        for _ in 0..3 {
            let m = library.draw(kind, &mut uniform);
            let (low, high) = m.redshifts();
            assert!(low <= high && m.flux.iter().all(|f| f.is_finite() && *f >= 0.0), "{kind:?} {low} {high}");
            // blueward of the Lyman limit quasars may be dark
            let seen: Vec<f64> = m.wave.iter().zip(&m.flux).filter(|(w, _)| **w > 912.0).map(|(_, f)| *f).collect();
            let zeros = seen.iter().filter(|f| **f == 0.0).count();
            assert!(zeros * 50 < seen.len(), "{kind:?}: {zeros} of {} pixels are zero", seen.len());
        }
    }
    assert_eq!(library.draw(Kind::Standard, &mut uniform).subtype, "F");
}

/// Mean flux between two wavelengths.
fn mean(wave: &[f64], flux: &[f64], from: f64, to: f64) -> f64 {
    let inside: Vec<f64> = wave.iter().zip(flux).filter(|(w, _)| **w >= from && **w < to).map(|(_, f)| *f).collect();
    inside.iter().sum::<f64>() / inside.len() as f64
}

#[test]
fn built_in_standards_look_like_kuruczs() {
    let Some(folder) = common::shared("stars") else { return };
    let kurucz = StarGrid::read(&folder.join("kurucz_stds_v5.fit")).unwrap();
    assert_eq!(kurucz.flux.dim(), (89, 5650));
    let ours = StarGrid::builtin();
    let mut compared = 0;
    for k in 0..kurucz.teff.len() {
        let same = |j: &usize| {
            ours.teff[*j] == kurucz.teff[k]
                && ours.logg[*j] == kurucz.logg[k]
                && (ours.feh[*j] - kurucz.feh[k]).abs() < 1e-3
        };
        let Some(j) = (0..ours.teff.len()).find(same) else { continue };
        let (theirs, mine) = (kurucz.flux.row(k).to_vec(), ours.flux.row(j).to_vec());
        let ratio = |a: (f64, f64), b: (f64, f64)| {
            let r = |wave: &[f64], flux: &[f64]| mean(wave, flux, a.0, a.1) / mean(wave, flux, b.0, b.1);
            r(&ours.wave, &mine) / r(&kurucz.wave, &theirs)
        };
        let label = format!("{} {} {}", kurucz.teff[k], kurucz.logg[k], kurucz.feh[k]);
        // colours, and the contrast of H beta and of Ca II K
        let blue = ratio((4010.0, 4090.0), (5450.0, 5550.0));
        let red = ratio((7900.0, 8100.0), (5450.0, 5550.0));
        let h_beta = ratio((4856.0, 4869.0), (4900.0, 4915.0));
        let calcium = ratio((3926.0, 3943.0), (4000.0, 4050.0));
        assert!((0.93..1.13).contains(&blue) && (0.95..1.09).contains(&red), "{label}: {blue:.3} {red:.3}");
        assert!((0.85..1.15).contains(&h_beta) && (0.6..1.25).contains(&calcium), "{label}: {h_beta:.3} {calcium:.3}");
        compared += 1;
    }
    assert!(compared >= 20, "{compared}");
    // finer than half an Angstrom, over the whole range
    assert!(ours.wave.windows(2).all(|w| w[1] - w[0] < 0.5) && ours.wave[0] <= 3500.0);
    assert!(*ours.wave.last().unwrap() >= 10000.0);
    assert!(interp::linear(5500.0, &ours.wave, &ours.flux.row(0).to_vec()) > 0.0);
}
