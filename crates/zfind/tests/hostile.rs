//! Files that are damaged or strange, through the program: a clear error and its exit code, or the right warning and every
//! other target as if the strange one were not there.

#![allow(clippy::unwrap_used)]

mod common;

use common::synthetic::{
    NWAVE, Width, desi_zfind, is_found, spectra, template, write_raw, write_template, write_templates,
};
use datamodel::{Band, ColumnData, Spectra, Zbest, mask::zwarn, zbest::Redshift};
use ndarray::{Array2, Array3, s};
use std::path::{Path, PathBuf};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("t")).unwrap();
        write_templates(&folder.path("t"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fits files; exit code and log.
    fn run(&self, files: &[&str], out: &str, more: &[&str]) -> (Option<i32>, String) {
        let text = |p: PathBuf| p.display().to_string();
        let (t, out) = (text(self.path("t")), text(self.path(out)));
        let files: Vec<String> = files.iter().map(|f| text(self.path(f))).collect();
        let mut arguments = vec!["-o", &out, "--templates", &t, "--infiles"];
        arguments.extend(files.iter().map(String::as_str));
        arguments.extend(more);
        desi_zfind(&arguments)
    }

    /// Fits spectra written as they are.
    fn fit(&self, s: &Spectra) -> Vec<Redshift> {
        write_raw(s, &self.path("s.fits"), Width::Usual, &[]);
        let (code, log) = self.run(&["s.fits"], "z.fits", &[]);
        assert_eq!(code, Some(0), "{log}");
        Zbest::read(&self.path("z.fits")).unwrap().redshifts
    }

    /// The program refuses with this code, says this, and writes nothing.
    fn refuses(&self, file: &str, more: &[&str], code: i32, told: &[&str]) {
        let (found, log) = self.run(&[file], "refused.fits", more);
        assert_eq!(found, Some(code), "{log}");
        assert!(told.iter().all(|t| log.contains(t)) && !log.contains("panicked"), "{told:?}: {log}");
        assert!(!self.path("refused.fits").exists());
    }
}

/// Row `r` of all bands.
fn row(s: &mut Spectra, r: usize, mut change: impl FnMut(usize, &mut f32, &mut f32)) {
    for data in s.bands.values_mut() {
        for i in 0..NWAVE {
            change(i, &mut data.flux[(r, i)], &mut data.ivar[(r, i)]);
        }
    }
}

/// Every kind of bad spectrum among good ones; the good ones' rows are those of a file without the bad ones.
#[test]
fn bad_spectra_cost_no_other_target() {
    let folder = Folder::new();
    let good = [1, 2, 3];
    let mut s = spectra(&(1..=10).collect::<Vec<i64>>());
    let alone = {
        let keep: Vec<usize> = (0..3).collect();
        let mut g = spectra(&good);
        for (band, data) in &mut g.bands {
            data.flux.assign(&s.bands[band].flux.select(ndarray::Axis(0), &keep));
        }
        folder.fit(&g)
    };
    row(&mut s, 3, |_, _, w| *w = 0.0);
    row(&mut s, 4, |_, f, _| *f = f32::NAN);
    row(&mut s, 5, |_, _, w| *w = -*w);
    row(&mut s, 6, |i, f, w| {
        if i % 7 == 0 {
            (*f, *w) = ([f32::INFINITY, 1e30, -1e30][i % 3], f32::INFINITY);
        }
    });
    row(&mut s, 7, |i, _, w| *w = if (200..203).contains(&i) { *w } else { 0.0 });
    row(&mut s, 8, |_, f, w| (*f, *w) = (1e30, 1e-30));
    s.bands.get_mut(&Band::B).unwrap().resolution.slice_mut(s![9, .., ..]).fill(f32::NAN);
    let mixed = folder.fit(&s);
    assert_eq!(mixed[..3], alone);
    assert!(alone.iter().all(is_found));
    for i in [3, 4, 5] {
        assert_eq!((mixed[i].zwarn, mixed[i].npixels), (zwarn::NODATA | zwarn::LITTLE_COVERAGE, 0), "{:?}", mixed[i]);
    }
    // a few bins are lost, or a band: still found
    assert!(is_found(&mixed[6]) && mixed[6].npixels < 2 * NWAVE as i64, "{:?}", mixed[6]);
    assert_eq!(mixed[7].npixels, 6);
    assert!(mixed[7].zwarn & zwarn::LITTLE_COVERAGE != 0, "{:?}", mixed[7]);
    assert!(mixed[8].z.is_finite() && mixed[8].chi2.is_finite());
    assert!(mixed[9].z.is_finite() && mixed[9].npixels <= NWAVE as i64 && mixed[9].zwarn == 0, "{:?}", mixed[9]);
}

/// Doubled targets are one row, sky fibres and unassigned ones are told.
#[test]
fn doubled_targets_skies_and_unassigned_fibres() {
    let folder = Folder::new();
    let mut s = spectra(&[1, 2, 1, 3, 4]);
    let types = ["TGT", "TGT", "TGT", "SKY", "BAD"].map(String::from).to_vec();
    s.fibermap.table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: types });
    let z = folder.fit(&s);
    assert_eq!(z.iter().map(|r| r.targetid).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(z[..2].iter().all(is_found) && (z[1].zerr / z[0].zerr - 2f64.sqrt()).abs() < 0.1);
    assert_eq!((z[2].zwarn, z[3].zwarn), (zwarn::SKY, zwarn::BAD_TARGET | zwarn::NODATA));
}

/// A file with one of the bands, and files whose bands are apart.
#[test]
fn bands_may_be_absent_or_in_files_of_their_own() {
    let folder = Folder::new();
    let s = spectra(&[1, 2]);
    let both = folder.fit(&s);
    for band in [Band::B, Band::R] {
        let mut one = s.clone();
        one.bands.retain(|b, _| *b == band);
        write_raw(&one, &folder.path(&format!("{band:?}.fits")), Width::Usual, &[]);
    }
    let (code, log) = folder.run(&["B.fits", "R.fits"], "apart.fits", &[]);
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(Zbest::read(&folder.path("apart.fits")).unwrap().redshifts, both);
    let (code, log) = folder.run(&["R.fits"], "one.fits", &[]);
    assert_eq!(code, Some(0), "{log}");
    let one = Zbest::read(&folder.path("one.fits")).unwrap().redshifts;
    assert!(one.iter().all(is_found) && one[0].npixels <= NWAVE as i64);
}

/// Numbers of other widths, without mask or resolution or scores: the same answers.
#[test]
fn types_and_hdus_of_other_releases_are_read() {
    let folder = Folder::new();
    let s = spectra(&[1, 2]);
    let usual = folder.fit(&s);
    for (width, without) in [
        (Width::Other, &[][..]),
        (Width::Usual, &["B_MASK", "R_MASK"][..]),
        (Width::Other, &["B_MASK", "B_RESOLUTION", "R_RESOLUTION"][..]),
    ] {
        write_raw(&s, &folder.path("v.fits"), width, without);
        let (code, log) = folder.run(&["v.fits"], "v-z.fits", &[]);
        assert_eq!(code, Some(0), "{log}");
        for (a, b) in Zbest::read(&folder.path("v-z.fits")).unwrap().redshifts.iter().zip(&usual) {
            // f4 wavelengths are off by up to 2.4e-4 Angstrom
            assert!((a.z - b.z).abs() < 1e-6 && (a.chi2 - b.chi2).abs() < 1e-3 * b.chi2, "{a:?} {b:?}");
            assert_eq!((a.zwarn, a.npixels), (b.zwarn, b.npixels));
        }
    }
}

#[test]
fn damaged_files_are_refused_with_a_reason() {
    let folder = Folder::new();
    let s = spectra(&[1, 2]);
    let write = |name: &str, s: &Spectra, without: &[&str]| write_raw(s, &folder.path(name), Width::Usual, without);
    folder.refuses("absent.fits", &[], 3, &["absent.fits", "no such file"]);
    std::fs::write(folder.path("empty.fits"), b"").unwrap();
    folder.refuses("empty.fits", &[], 1, &["empty.fits"]);
    std::fs::write(folder.path("text.fits"), b"not a FITS file\n").unwrap();
    folder.refuses("text.fits", &[], 1, &["text.fits"]);
    write("whole.fits", &s, &[]);
    let bytes = std::fs::read(folder.path("whole.fits")).unwrap();
    for part in [3, 40, 95] {
        std::fs::write(folder.path("cut.fits"), &bytes[..bytes.len() * part / 100]).unwrap();
        folder.refuses("cut.fits", &[], 1, &["cut.fits"]);
    }
    let mut changed = bytes.clone();
    let middle = bytes.len() / 2;
    changed[middle] ^= 0x40;
    std::fs::write(folder.path("changed.fits"), &changed).unwrap();
    folder.refuses("changed.fits", &[], 1, &["changed.fits", "does not match the data"]);
    for hdu in ["R_WAVELENGTH", "R_IVAR", "FIBERMAP"] {
        write("lacks.fits", &s, &[hdu]);
        folder.refuses("lacks.fits", &[], 1, &["lacks.fits", hdu, "is missing"]);
    }
    let mut t = s.clone();
    t.bands.get_mut(&Band::B).unwrap().resolution = Array3::ones((2, 4, NWAVE));
    write("even.fits", &t, &[]);
    folder.refuses("even.fits", &[], 1, &["B_RESOLUTION", "odd number of diagonals"]);
    t.bands.get_mut(&Band::B).unwrap().resolution = Array3::ones((2, 3, NWAVE - 1));
    write("short.fits", &t, &[]);
    folder.refuses("short.fits", &[], 1, &["B_RESOLUTION", "shape"]);
    let mut t = s.clone();
    t.bands.get_mut(&Band::R).unwrap().ivar = Array2::ones((1, NWAVE));
    write("rows.fits", &t, &[]);
    folder.refuses("rows.fits", &[], 1, &["R_IVAR", "shape"]);
    let mut t = s.clone();
    t.bands.get_mut(&Band::R).unwrap().wave[7] = f64::NAN;
    write("wave.fits", &t, &[]);
    folder.refuses("wave.fits", &[], 1, &["R_WAVELENGTH", "finite"]);
    let mut t = s.clone();
    t.fibermap.table.set("TARGETID", "", ColumnData::Str { width: 1, values: vec!["a".into(), "b".into()] });
    write("ids.fits", &t, &[]);
    folder.refuses("ids.fits", &[], 1, &["TARGETID"]);
    folder.refuses("whole.fits", &["--targetids", "7"], 1, &["--targetids"]);
    folder.refuses("whole.fits", &["--nminima", "0"], 2, &["nminima"]);
}

/// A file without a row, of a tile whose spectra were all left out.
#[test]
fn a_file_without_a_spectrum_is_told() {
    let folder = Folder::new();
    let s = spectra(&[1]);
    let none = Spectra {
        fibermap: s.fibermap.select(&[]),
        bands: s
            .bands
            .iter()
            .map(|(band, d)| {
                let mut d = d.clone();
                d.flux = Array2::zeros((0, NWAVE));
                d.ivar = Array2::zeros((0, NWAVE));
                d.mask = Array2::zeros((0, NWAVE));
                d.resolution = Array3::zeros((0, 3, NWAVE));
                (*band, d)
            })
            .collect(),
        ..s
    };
    write_raw(&none, &folder.path("none.fits"), Width::Usual, &[]);
    folder.refuses("none.fits", &[], 1, &["none.fits"]);
}

#[test]
fn damaged_templates_are_refused_with_a_reason() {
    let folder = Folder::new();
    write_raw(&spectra(&[1]), &folder.path("s.fits"), Width::Usual, &[]);
    let refuses = |templates: &Path, code: i32, told: &str| {
        let t = templates.display().to_string();
        let (input, out) = (folder.path("s.fits"), folder.path("z.fits"));
        let (input, out) = (input.display().to_string(), out.display().to_string());
        let (found, log) = desi_zfind(&["-i", &input, "-o", &out, "-t", &t]);
        assert_eq!(found, Some(code), "{log}");
        assert!(log.contains(told) && !log.contains("panicked"), "{told}: {log}");
    };
    std::fs::create_dir(folder.path("nothing")).unwrap();
    refuses(&folder.path("nothing"), 3, "rrtemplate-*.fits");
    refuses(&folder.path("absent"), 3, "absent");
    let file = folder.path("rrtemplate-x.fits");
    let mut t = template("GALAXY", [4000.0, 4900.0, 5100.0]);
    t.basis[(1, 77)] = f64::NAN;
    write_template(&t, &file);
    refuses(&file, 1, "finite numbers");
    t.basis[(1, 77)] = 0.0;
    t.spectype = "NEBULA".into();
    write_template(&t, &file);
    refuses(&file, 1, "RRTYPE");
    t.spectype = "GALAXY".into();
    t.redshifts.reverse();
    write_template(&t, &file);
    refuses(&file, 1, "REDSHIFTS");
    t.redshifts.reverse();
    write_template(&t, &file);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refuses(&file, 1, "rrtemplate-x.fits");
    let mut fits = datamodel::fits::FitsWriter::create(&file).unwrap();
    let mut header = datamodel::Header::new();
    header.set("RRTYPE", "GALAXY", "").set("VERSION", "2.6", "").set("CDELT1", 1.0, "");
    fits.image("BASIS_VECTORS", t.basis.view(), &header).unwrap();
    fits.finish().unwrap();
    refuses(&file, 1, "CRVAL1");
}

/// A template that reaches only part of the data, or none of it.
#[test]
fn templates_that_do_not_reach_the_data_are_no_crash() {
    let folder = Folder::new();
    let mut t = template("GALAXY", [4000.0, 4900.0, 5100.0]);
    for (first, found) in [(2500.0, true), (20_000.0, false)] {
        t.wave = (0..12_000).map(|i| first + 0.5 * f64::from(i)).collect();
        write_template(&t, &folder.path("t/rrtemplate-GALAXY.fits"));
        let z = folder.fit(&spectra(&[1, 2]));
        assert_eq!(z[0].npixels > 0, found);
        assert_eq!(z[0].zwarn & zwarn::NODATA == 0, found, "{:?}", z[0]);
    }
}

/// Good files of another kind: a PSF, our own redshift file, a calibrated frame.
#[test]
fn files_without_spectra_are_told_from_damaged_ones() {
    let folder = Folder::new();
    let s = spectra(&[1]);
    folder.fit(&s);
    let plane = Array2::<f64>::ones((5, 7));
    for (name, hdus) in [("psf.fits", vec!["XTRACE", "PSF"]), ("cframe.fits", vec!["FLUX", "IVAR", "FIBERMAP"])] {
        let mut fits = datamodel::fits::FitsWriter::create(&folder.path(name)).unwrap();
        for hdu in hdus {
            fits.image(hdu, plane.view(), &datamodel::Header::new()).unwrap();
        }
        fits.finish().unwrap();
    }
    for (name, hdu) in [("psf.fits", "XTRACE"), ("cframe.fits", "IVAR"), ("z.fits", "REDSHIFTS")] {
        folder.refuses(name, &[], 1, &[name, "holds no spectra to fit", hdu]);
    }
}
