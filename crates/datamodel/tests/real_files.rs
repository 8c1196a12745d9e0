//! Files of other programs: DESI's releases, specex, specter, gpu_specter, redrock, desispec.

#![allow(clippy::unwrap_used)]

mod common;

use common::shared;
use datamodel::*;

#[test]
fn desis_psf() {
    let Some(path) = shared("psf/psf-r0-00051060.fits") else { return };
    let psf = GaussHermitePsf::read(&path).unwrap();
    assert_eq!((psf.nfiber(), psf.ghdeg, psf.half_size, psf.npix), (500, (6, 6), (8, 5), (4128, 4114)));
    assert_eq!((psf.x.wavemin, psf.x.wavemax, psf.wavemin, psf.wavemax), (5543.0, 7826.0, 5543.0, 7827.0));
    assert_eq!(psf.parameters.len(), 57);
    assert_eq!(psf.parameters["GH-0-0"].row(17).to_vec(), [1.0, 0.0, 0.0, 0.0]);
    assert!((psf.parameters["GHSIGX"].column(0).mean().unwrap() - 1.1).abs() < 0.3);
    assert_eq!((psf.bundle[24], psf.bundle[25], psf.bundle[499]), (0, 1, 19));
    assert!(psf.status.iter().all(|&s| s == 0));
    assert!(psf.rchi2(7).is_some_and(|c| c > 0.5 && c < 5.0));
    // Written by us it is the same PSF, rows in the same order.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("psf.fits");
    psf.write(&copy).unwrap();
    let names = |p: &std::path::Path| {
        fits::FitsReader::open(p).unwrap().table("PSF").unwrap().strings("PARAM").unwrap().to_vec()
    };
    assert_eq!(names(&copy), names(&path));
    let back = GaussHermitePsf::read(&copy).unwrap();
    assert!(back.parameters == psf.parameters && back.x == psf.x && back.y == psf.y && back.bundle == psf.bundle);
    for key in ["NPARAMS", "LEGDEG", "FIBERMAX", "HSIZEX", "B07NDATA"] {
        assert_eq!(back.header.get(key), psf.header.get(key), "{key}");
    }
}

#[test]
fn a_psf_that_specex_fitted_to_one_bundle() {
    let Some(path) = shared("specex/psf-specex-bundle0.fits") else { return };
    assert_eq!(GaussHermitePsf::read(&path).unwrap().nfiber(), 500);
}

#[test]
fn traces_of_the_three_arms() {
    for band in ["b", "r", "z"] {
        let Some(path) = shared(&format!("psf/psf-{band}0.fits")) else { return };
        let boot = PsfBoot::read(&path).unwrap();
        assert_eq!((boot.x.coeff.dim(), boot.y.coeff.dim(), boot.xsigma.len()), ((500, 6), (500, 6), 500));
        assert!(boot.xsigma.iter().all(|s| (0.5..2.0).contains(s)));
    }
}

#[test]
fn images_that_desispec_wrote_gzipped() {
    for name in ["extract/preproc-r0-exact-bundle0.fits.gz", "specex/preproc-r0-arc-bundle0.fits.gz"] {
        let Some(path) = shared(name) else { return };
        let image = Image::read(&path).unwrap();
        assert_eq!(image.pix.dim(), (4128, 340));
        assert_eq!(image.camera(), Some("r0".parse().unwrap()));
        assert_eq!(image.fibermap.unwrap().fibers(), (0..25).collect::<Vec<_>>());
        assert!(image.readnoise.iter().all(|&r| r > 1.0 && r < 10.0));
    }
}

#[test]
fn a_gzipped_file_cut_short() {
    let Some(path) = shared("specex/preproc-r0-arc-bundle0.fits.gz") else { return };
    let whole = std::fs::read(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.fits.gz");
    for n in [3, 100, 20_000, whole.len() / 2, whole.len() - 1000] {
        std::fs::write(&cut, &whole[..n]).unwrap();
        let error = Image::read(&cut).unwrap_err();
        assert!(matches!(error, Error::Fits { .. } | Error::MissingHdu { .. }), "{n}: {error}");
        assert!(error.to_string().starts_with(&cut.display().to_string()), "{error}");
    }
}

#[test]
fn frames_without_a_fibermap() {
    for name in ["extract/frame-gpu_specter-exact.fits", "extract/frame-specter-exact.fits"] {
        let Some(path) = shared(name) else { return };
        let frame = Frame::read(&path).unwrap();
        assert_eq!((frame.flux.dim(), frame.resolution.dim()), ((25, 2326), (25, 11, 2326)));
        assert_eq!(frame.fibermap.fibers(), (0..25).collect::<Vec<_>>());
        // Rows of a resolution matrix add up to 1.
        let sums = frame.resolution_of(3).row_sums();
        assert!(sums[20..2300].iter().all(|s| (s - 1.0).abs() < 0.02), "{:?}", &sums[20..30]);
    }
}

#[test]
fn desis_coadds_and_their_redshifts() {
    let coadds = [
        "coadd-1-80693-thru20210204",
        "coadd-2-80693-thru20210204",
        "coadd-4-80613-thru20210324",
        "coadd-main-dark-9144",
        "coadd-special-dark-27247",
    ];
    for name in coadds {
        let Some(path) = shared(&format!("spectra/desi/{name}.fits")) else { return };
        let spectra = Spectra::read(&path).unwrap();
        assert_eq!(spectra.bands.keys().copied().collect::<Vec<_>>(), Band::ALL, "{name}");
        for (band, b) in &spectra.bands {
            let (start, _, step) = band.extraction_grid();
            assert!((b.wave[0] - start).abs() < 1e-6 && (b.wave[1] - start - step).abs() < 1e-6, "{name}");
            assert_eq!((b.flux.nrows(), b.resolution.dim().1), (spectra.fibermap.len(), 11));
        }
        assert!(spectra.fibermap.targetids().iter().all(|&id| id > 0));
    }
    for name in ["redrock-4-80613-thru20210324", "redrock-special-dark-27247"] {
        let Some(path) = shared(&format!("spectra/desi/{name}.fits")) else { return };
        let zbest = Zbest::read(&path).unwrap();
        assert!(
            zbest.redshifts.iter().all(|r| r.z.is_finite() && ["GALAXY", "QSO", "STAR"].contains(&r.spectype.as_str()))
        );
        assert_eq!(zbest.fibermap.len(), zbest.redshifts.len());
    }
}

#[test]
fn simulated_spectra_and_redrocks_answer() {
    let (Some(spectra), Some(redshifts)) = (shared("redshift/spectra-sim.fits"), shared("redshift/redrock-sim.fits"))
    else {
        return;
    };
    let spectra = Spectra::read(&spectra).unwrap();
    let zbest = Zbest::read(&redshifts).unwrap();
    assert_eq!(zbest.redshifts.len(), 40);
    let mut answered: Vec<i64> = zbest.redshifts.iter().map(|r| r.targetid).collect();
    answered.sort();
    let mut asked = spectra.fibermap.targetids();
    asked.sort();
    assert_eq!(answered, asked);
    assert_eq!(spectra.scores.unwrap().nrows(), 40);
}
