//! desispec reads what we write and we read what desispec writes, with equal values.
//!
//! Needs a Python with desispec, named by SPECMILL_PYTHON (scripts/setup makes one); skipped without.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use datamodel::psf::LegendreRows;
use datamodel::*;
use ndarray::{Array2, Dimension};
use std::path::Path;
use std::process::Command;

#[test]
fn desispec_reads_ours_and_we_read_its() {
    let Some(python) = std::env::var_os("SPECMILL_PYTHON") else {
        eprintln!("skipped: SPECMILL_PYTHON does not name a Python that has desispec");
        return;
    };
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_all(ours.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/desispec_interop.py");
    let run = Command::new(python).arg(script).args([ours.path(), theirs.path()]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    desispec_saw_our_values(theirs.path());
    we_read_desispecs_files(theirs.path());
    we_read_columns_of_every_type(&theirs.path().join("types.fits"));
}

fn write_all(folder: &Path) {
    let file = |name: &str| folder.join(name);
    image().write(&file("image.fits")).unwrap();
    frame().write(&file("frame.fits")).unwrap();
    cframe().write(&file("cframe.fits")).unwrap();
    fiberflat().write(&file("fiberflat.fits")).unwrap();
    sky().write(&file("sky.fits")).unwrap();
    fluxcalib().write(&file("fluxcalib.fits")).unwrap();
    stdstars().write(&file("stdstars.fits")).unwrap();
    spectra().write(&file("spectra.fits")).unwrap();
    psf().write(&file("psf.fits")).unwrap();
    psfboot().write(&file("psfboot.fits")).unwrap();
    zbest().write(&file("zbest.fits")).unwrap();
    fibermap(10).write(&file("fibermap.fits")).unwrap();
    raw().write(&file("raw.fits.fz")).unwrap();
}

/// What desispec dumped under this name.
fn dumped(folder: &Path, name: &str) -> Vec<f64> {
    let bytes = std::fs::read(folder.join(format!("{name}.f64"))).unwrap();
    bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

struct Dump<'a>(&'a Path, &'a str);

impl Dump<'_> {
    fn equals(&self, attribute: &str, ours: impl IntoIterator<Item = f64>) {
        let name = format!("{}-{attribute}", self.1);
        assert_eq!(dumped(self.0, &name), ours.into_iter().collect::<Vec<_>>(), "{name}");
    }
    fn plane<D: Dimension>(&self, attribute: &str, ours: &ndarray::Array<f32, D>) {
        self.equals(attribute, ours.iter().map(|&x| f64::from(x)));
    }
    fn planes(&self, attributes: &[(&str, &Array2<f32>)]) {
        attributes.iter().for_each(|(attribute, ours)| self.plane(attribute, ours));
    }
    fn mask(&self, ours: &Array2<u32>) {
        self.equals("mask", ours.iter().map(|&m| f64::from(m)));
    }
    fn near(&self, attribute: &str, ours: impl IntoIterator<Item = f64>) {
        let name = format!("{}-{attribute}", self.1);
        let (theirs, ours) = (dumped(self.0, &name), ours.into_iter().collect::<Vec<_>>());
        assert_eq!(theirs.len(), ours.len(), "{name}");
        for (a, b) in theirs.into_iter().zip(ours) {
            assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{name}: {a} and {b}");
        }
    }
}

fn traces(rows: &LegendreRows) -> Vec<f64> {
    let wave = (0..11).map(|i| 5800.0 + 180.0 * f64::from(i));
    let u: Vec<f64> = wave.map(|w| numerics::legendre::reduced(w, rows.wavemin, rows.wavemax)).collect();
    rows.coeff
        .rows()
        .into_iter()
        .flat_map(|c| u.iter().map(move |&u| numerics::legendre::evaluate(&c.to_vec(), u)))
        .collect()
}

fn desispec_saw_our_values(folder: &Path) {
    let i = image();
    let d = Dump(folder, "image");
    d.planes(&[("pix", &i.pix), ("ivar", &i.ivar), ("readnoise", &i.readnoise)]);
    d.mask(&i.mask);
    for (name, f) in [("frame", frame()), ("cframe", cframe())] {
        let d = Dump(folder, name);
        d.equals("wave", f.wave.clone());
        d.planes(&[("flux", &f.flux), ("ivar", &f.ivar), ("chi2pix", f.chi2pix.as_ref().unwrap())]);
        d.mask(&f.mask);
        d.plane("resolution_data", &f.resolution);
        d.equals("fibers", f.fibermap.fibers().into_iter().map(f64::from));
        // The matrices themselves: the order of the diagonals is understood alike.
        let all = 0..NWAVE;
        d.equals(
            "R",
            (0..NSPEC).flat_map(|s| all.clone().map(move |r| (s, r))).flat_map(|(s, r)| {
                let matrix = f.resolution_of(s);
                all.clone().map(move |c| matrix.get(r, c))
            }),
        );
    }
    let f = fiberflat();
    let d = Dump(folder, "fiberflat");
    d.planes(&[("fiberflat", &f.fiberflat), ("ivar", &f.ivar)]);
    d.mask(&f.mask);
    d.equals("wave", f.wave);
    d.equals("meanspec", f.meanspec);
    let s = sky();
    let d = Dump(folder, "sky");
    d.planes(&[("flux", &s.sky), ("ivar", &s.ivar), ("stat_ivar", s.stat_ivar.as_ref().unwrap())]);
    d.plane("throughput_corrections", s.throughput_correction.as_ref().unwrap());
    d.mask(&s.mask);
    d.equals("wave", s.wave);
    let c = fluxcalib();
    let d = Dump(folder, "fluxcalib");
    d.planes(&[("calib", &c.calib), ("ivar", &c.ivar)]);
    d.mask(&c.mask);
    d.equals("wave", c.wave);
    d.equals("fibercorr", c.fibercorr.unwrap().concat());
    let s = stdstars();
    let d = Dump(folder, "stdstars");
    d.plane("flux", &s.flux);
    d.equals("wave", s.wave);
    d.equals("fibers", s.fibers.into_iter().map(f64::from));
    d.equals("teff", s.stars.iter().map(|s| s.teff));
    let s = spectra();
    Dump(folder, "spectra").equals("targetid", (0..NSPEC).map(|i| i as f64));
    for (band, b) in &s.bands {
        let name = format!("spectra-{band}");
        let d = Dump(folder, &name);
        d.equals("wave", b.wave.clone());
        d.planes(&[("flux", &b.flux), ("ivar", &b.ivar)]);
        d.mask(&b.mask);
        d.plane("resolution_data", &b.resolution);
    }
    let raw = raw();
    let counts = &raw.cameras[&"z1".parse().unwrap()].adu;
    Dump(folder, "raw").equals("z1", counts.iter().map(|&x| f64::from(x)));
    let p = psf();
    let d = Dump(folder, "psf");
    d.near("x", traces(&p.x));
    d.near("y", traces(&p.y));
    // desispec takes the range of the traces for that of the table.
    let sigma = LegendreRows { coeff: p.parameters["GHSIGX"].clone(), ..p.x };
    d.near("xsig", traces(&sigma));
    let b = psfboot();
    let d = Dump(folder, "psfboot");
    d.near("x", traces(&b.x));
    d.near("y", traces(&b.y));
}

/// f4 wavelengths of fibre flats, skies and calibrations.
fn same_grid(found: &[f64], expected: &[f64]) {
    check_same_wavelengths((Path::new("ours"), expected), (Path::new("desispec's"), found)).unwrap();
}

fn we_read_desispecs_files(folder: &Path) {
    let file = |name: &str| folder.join(name);
    let (ours, found) = (image(), Image::read(&file("image.fits")).unwrap());
    assert!(
        (&ours.pix, &ours.ivar, &ours.mask, &ours.readnoise)
            == (&found.pix, &found.ivar, &found.mask, &found.readnoise)
    );
    assert_eq!(found.camera(), ours.camera());
    assert_eq!(found.fibermap.unwrap().table.ints("DESI_TARGET"), ours.fibermap.unwrap().table.ints("DESI_TARGET"));
    for (name, ours) in [("frame.fits", frame()), ("cframe.fits", cframe())] {
        let found = Frame::read(&file(name)).unwrap();
        assert!(
            (&ours.wave, &ours.flux, &ours.ivar, &ours.mask) == (&found.wave, &found.flux, &found.ivar, &found.mask)
        );
        assert!((&ours.resolution, &ours.chi2pix) == (&found.resolution, &found.chi2pix));
        for card in ours.header.cards() {
            assert_eq!(found.header.get(&card.key), Some(&card.value), "{name} {}", card.key);
        }
        assert_eq!(found.fibermap.fibers(), ours.fibermap.fibers());
        assert_eq!(found.fibermap.is_standard(), ours.fibermap.is_standard());
        assert_eq!(found.fibermap.is_sky(), ours.fibermap.is_sky());
        assert_eq!(found.scores.unwrap().floats("MEDIAN_RAW_SNR_R"), ours.scores.unwrap().floats("MEDIAN_RAW_SNR_R"));
    }
    let (ours, found) = (fiberflat(), Fiberflat::read(&file("fiberflat.fits")).unwrap());
    assert!(
        (&ours.fiberflat, &ours.ivar, &ours.mask, &ours.meanspec)
            == (&found.fiberflat, &found.ivar, &found.mask, &found.meanspec)
    );
    same_grid(&found.wave, &ours.wave);
    let (ours, found) = (sky(), Sky::read(&file("sky.fits")).unwrap());
    assert!(
        (&ours.sky, &ours.ivar, &ours.mask, &ours.stat_ivar)
            == (&found.sky, &found.ivar, &found.mask, &found.stat_ivar)
    );
    same_grid(&found.wave, &ours.wave);
    let (ours, found) = (fluxcalib(), FluxCalib::read(&file("fluxcalib.fits")).unwrap());
    assert!(
        (&ours.calib, &ours.ivar, &ours.mask, &ours.fibercorr)
            == (&found.calib, &found.ivar, &found.mask, &found.fibercorr)
    );
    same_grid(&found.wave, &ours.wave);
    let (ours, found) = (stdstars(), StdStars::read(&file("stdstars.fits")).unwrap());
    assert!(
        (&ours.flux, &ours.fibers, &ours.stars, &ours.coeff)
            == (&found.flux, &found.fibers, &found.stars, &found.coeff)
    );
    assert_eq!(found.input_frames, ours.input_frames);
    same_grid(&found.wave, &ours.wave);
    let (ours, found) = (spectra(), Spectra::read(&file("spectra.fits")).unwrap());
    assert!(found.bands == ours.bands);
    assert_eq!(found.fibermap.targetids(), ours.fibermap.targetids());
    assert_eq!(found.exp_fibermap.unwrap().len(), 6);
    let (ours, found) = (psf(), PsfBoot::read(&file("traces.fits")).unwrap());
    assert!((ours.x.coeff - found.x.coeff).iter().all(|d| d.abs() < 1e-3), "f4 coefficients");
}

/// A table by astropy: what we cannot hold is left out, and the columns behind it are read from the right bytes.
fn we_read_columns_of_every_type(path: &Path) {
    let table = fits::FitsReader::open(path).unwrap().table("TYPES").unwrap();
    let names: Vec<&str> = table.columns().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["NAME", "NAMES", "U2", "U4", "FLAG", "CUBE", "LAST"]);
    assert_eq!(table.strings("NAME").unwrap(), ["ab", "abcde"]);
    assert_eq!(table.strings("NAMES").unwrap().iter().map(|s| s.replace(' ', "")).collect::<Vec<_>>().len(), 2);
    assert_eq!(table.ints("U2"), Some(vec![0, 65535]));
    assert_eq!(table.ints("U4"), Some(vec![0, (1 << 32) - 1]));
    assert_eq!(table.column("FLAG").unwrap().data, ColumnData::Bool(vec![true, false]));
    assert_eq!(table.column("CUBE").unwrap().shape, [3, 2]);
    assert_eq!(table.floats("CUBE"), Some((0..12).map(f64::from).collect()));
    assert_eq!(table.ints("LAST"), Some(vec![-1, 1 << 62]));
}
