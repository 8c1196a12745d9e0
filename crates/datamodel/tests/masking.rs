//! Spectra with bins that are no measurement, and coadds over the cameras.

#![allow(clippy::unwrap_used)]

mod common;

use datamodel::{
    Band, Header, Image, Spectra,
    fits::{FitsReader, FitsWriter},
    mask::{ccd, spec},
};
use ndarray::ArrayView1;

/// The file of the common spectra with HDU names changed by `name` and values of row 1, bin 2 by `damage`.
fn rewritten(from: &std::path::Path, to: &std::path::Path, name: impl Fn(&str) -> String, damage: (&str, f32)) {
    let mut fits = FitsReader::open(from).unwrap();
    let mut out = FitsWriter::create(to).unwrap();
    let header = fits.header("0").unwrap();
    out.empty_primary(&header).unwrap();
    for hdu in fits.names().to_vec().iter().skip(1) {
        let header = fits.header(hdu).unwrap();
        match hdu.rsplit('_').next().unwrap() {
            "WAVELENGTH" => {
                let wave = fits.vector(hdu).unwrap().to_vec();
                out.image(&name(hdu), ArrayView1::from(&wave[..]), &header).unwrap();
            }
            "MASK" => out.image(&name(hdu), fits.mask(hdu).unwrap().view(), &Header::new()).unwrap(),
            "FLUX" | "IVAR" | "RESOLUTION" => {
                let mut image = fits.image_f32(hdu).unwrap();
                if hdu == damage.0 {
                    let at = if image.ndim() == 3 { vec![1, 0, 2] } else { vec![1, 2] };
                    image[at.as_slice()] = damage.1;
                }
                out.image(&name(hdu), image.view(), &header).unwrap();
            }
            _ => out.table(hdu, &fits.table(hdu).unwrap(), &header).unwrap(),
        }
    }
    out.finish().unwrap();
}

#[test]
fn bins_without_a_measurement_lose_their_weight_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.fits"), folder.path().join("bad.fits"));
    common::spectra().write(&good).unwrap();
    let expected = Spectra::read(&good).unwrap();
    let damages =
        [("R_FLUX", f32::NAN), ("R_IVAR", f32::INFINITY), ("R_IVAR", -1.0), ("R_RESOLUTION", f32::NEG_INFINITY)];
    for damage in damages {
        rewritten(&good, &bad, str::to_string, damage);
        let mut found = Spectra::read(&bad).unwrap();
        let (r, e) = (found.bands.get_mut(&Band::R).unwrap(), &expected.bands[&Band::R]);
        assert_eq!((r.ivar[(1, 2)], r.mask[(1, 2)] & spec::NODATA), (0.0, spec::NODATA), "{damage:?}");
        assert!(r.flux[(1, 2)].is_finite() && r.resolution.iter().all(|x| x.is_finite()));
        (r.flux[(1, 2)], r.ivar[(1, 2)]) = (e.flux[(1, 2)], e.ivar[(1, 2)]);
        r.mask[(1, 2)] = e.mask[(1, 2)];
        r.resolution[(1, 0, 2)] = e.resolution[(1, 0, 2)];
        assert_eq!(found, expected, "{damage:?}");
    }
}

#[test]
fn a_coadd_over_the_cameras_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (arms, merged) = (folder.path().join("arms.fits"), folder.path().join("merged.fits"));
    let mut spectra = common::spectra();
    spectra.bands.retain(|b, _| *b == Band::B);
    spectra.write(&arms).unwrap();
    rewritten(&arms, &merged, |name| name.replace("B_", "BRZ_"), ("", 0.0));
    assert!(FitsReader::open(&merged).unwrap().has("BRZ_FLUX"));
    assert_eq!(Spectra::read(&merged).unwrap().bands, spectra.bands);
}

#[test]
fn pixels_without_a_measurement_lose_their_weight_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pix.fits");
    let mut expected = common::image();
    expected.write(&path).unwrap();
    assert_eq!(Image::read_masking(&path).unwrap(), (expected.clone(), 0));
    let mut fits = FitsReader::open(&path).unwrap();
    let (header, mut pix, mut ivar) =
        (fits.header("IMAGE").unwrap(), fits.plane("IMAGE").unwrap(), fits.plane("IVAR").unwrap());
    ivar[(0, 0)] = 1.0;
    (pix[(0, 0)], ivar[(1, 1)], ivar[(2, 0)]) = (f32::NAN, f32::INFINITY, -1.0);
    let mask = fits.mask("MASK").unwrap();
    let noise = fits.plane("READNOISE").unwrap();
    let bad = folder.path().join("bad.fits");
    let mut out = FitsWriter::create(&bad).unwrap();
    out.image("IMAGE", pix.view(), &header).unwrap();
    out.image("IVAR", ivar.view(), &Header::new()).unwrap();
    out.image("MASK", mask.view(), &Header::new()).unwrap();
    out.image("READNOISE", noise.view(), &Header::new()).unwrap();
    out.finish().unwrap();
    assert!(Image::read(&bad).is_err());
    let (found, broken) = Image::read_masking(&bad).unwrap();
    for at in [(0, 0), (1, 1), (2, 0)] {
        (expected.pix[at], expected.ivar[at]) = (0.0, 0.0);
        expected.mask[at] |= ccd::BAD;
    }
    assert_eq!((found.pix, found.ivar, found.mask, broken), (expected.pix, expected.ivar, expected.mask, 3));
}
