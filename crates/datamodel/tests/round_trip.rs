//! What is written is read back equal, and is written as the same bytes again.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use datamodel::*;
use std::path::Path;

/// Header `found` has every card of `expected`.
fn includes(found: &Header, expected: &Header) {
    for card in expected.cards() {
        assert_eq!(found.get(&card.key), Some(&card.value), "keyword {}", card.key);
    }
}

fn twice_the_same_bytes(write: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.fits"), folder.path().join("some other name.fits"));
    write(&a);
    write(&b);
    assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap(), "two writes differ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file is left");
}

macro_rules! round_trip {
    ($($name:ident: $type:ty;)*) => {$(
        #[test]
        fn $name() {
            let product = common::$name();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new folder").join("a [0] (x) +1.fits");
            product.write(&path).unwrap();
            assert!(<$type>::read(&path).unwrap() == product, "{:#?}", <$type>::read(&path));
            twice_the_same_bytes(|p| product.write(p).unwrap());
        }
    )*};
}
round_trip! {
    image: Image;
    frame: Frame;
    cframe: Frame;
    fiberflat: Fiberflat;
    sky: Sky;
    fluxcalib: FluxCalib;
    stdstars: StdStars;
    spectra: Spectra;
    zbest: Zbest;
    psfboot: PsfBoot;
}

#[test]
fn fibermaps() {
    let map = fibermap(10);
    let path = tempfile::tempdir().unwrap().path().join("fibermap.fits");
    map.write(&path).unwrap();
    assert_eq!(Fibermap::read(&path).unwrap(), map);
    assert_eq!(
        map.is_standard(),
        [2, 6].iter().fold(vec![false; 10], |mut v, &i| {
            v[i] = true;
            v
        })
    );
    twice_the_same_bytes(|p| map.write(p).unwrap());
}

#[test]
fn psfs() {
    let psf = psf();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("psf.fits");
    psf.write(&path).unwrap();
    let mut back = GaussHermitePsf::read(&path).unwrap();
    includes(&back.header, &psf.header);
    assert_eq!(back.header.int("NPARAMS"), Some(2 + 9 + 5 + 1));
    // text for specter, a number for specex, names that end where they end
    assert!(std::fs::read(&path).unwrap().windows(8).any(|w| w == b"GHSIGX\0\0"));
    assert_eq!((back.header.str("PSFVER"), back.header.int("ARCEXP")), (Some("3"), Some(0)));
    // Absent rows are written with neutral values.
    assert_eq!(back.parameters["TAILINDE"][(7, 0)], 2.0);
    assert_eq!(back.parameters["TAILXSCA"].sum(), 50.0);
    back.parameters.retain(|name, _| psf.parameters.contains_key(name));
    back.header = psf.header.clone();
    assert_eq!(back, psf);
    twice_the_same_bytes(|p| psf.write(p).unwrap());
    // Its traces can start another night's fit.
    let boot = PsfBoot::read(&path).unwrap();
    assert_eq!((boot.x, boot.xsigma[3]), (psf.x, psf.parameters["GHSIGX"][(3, 0)]));
}

#[test]
fn a_product_without_a_row() {
    let mut none = common::spectra();
    (none.fibermap, none.exp_fibermap, none.scores) = (none.fibermap.select(&[]), None, None);
    for b in none.bands.values_mut() {
        let empty = ndarray::s![0..0, ..];
        (b.flux, b.ivar) = (b.flux.slice(empty).to_owned(), b.ivar.slice(empty).to_owned());
        b.mask = b.mask.slice(empty).to_owned();
        b.resolution = b.resolution.slice(ndarray::s![0..0, .., ..]).to_owned();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("brick.fits");
    none.write(&path).unwrap();
    assert!(Spectra::read(&path).unwrap() == none);
}

#[test]
fn raw_exposures() {
    let raw = raw();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desi-00051060.fits.fz");
    raw.write(&path).unwrap();
    let cameras: Vec<Camera> = raw.cameras.keys().copied().collect();
    assert_eq!(RawExposure::cameras_of(&path).unwrap(), cameras);
    for (camera, image) in &raw.cameras {
        let back = RawExposure::read_camera(&path, *camera).unwrap();
        assert_eq!(back.adu, image.adu);
        includes(&back.header, &image.header);
        includes(&back.header, &raw.header);
    }
    let absent = RawExposure::read_camera(&path, "r0".parse().unwrap()).unwrap_err().to_string();
    assert!(absent.ends_with("HDU R0 is missing; the file has an unnamed primary, SPEC, B0, Z1"), "{absent}");
    twice_the_same_bytes(|p| raw.write(p).unwrap());
}

#[test]
fn many_threads_read_and_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (frame, image) = (common::frame(), common::image());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (frame, image, folder) = (&frame, &image, folder.path());
            scope.spawn(move || {
                for i in 0..10 {
                    let path = folder.join(format!("frame-{thread}-{i}.fits"));
                    frame.write(&path).unwrap();
                    assert!(Frame::read(&path).unwrap() == *frame);
                    // The same name from all threads: one of them wins, whole.
                    let path = folder.join(format!("pix-{i}.fits"));
                    image.write(&path).unwrap();
                    assert!(Image::read(&path).unwrap() == *image);
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 90);
}
