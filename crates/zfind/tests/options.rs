//! The program's options on files: priors, details, targets, minima, bricks, templates of non-negative vectors.

#![allow(clippy::unwrap_used)]

mod common;

use common::synthetic::{
    Width, desi_zfind, is_found, spectra, template, templates, write_raw, write_template, write_templates,
};
use datamodel::{
    Band, ColumnData, Header, Spectra, Table, Zbest,
    fits::{FitsReader, FitsWriter},
};
use ndarray::{Array2, ArrayView1};
use numerics::resample::rebin;
use std::{path::PathBuf, process::Command};
use templates::Method;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.0.path().join("t")).unwrap();
        write_templates(&folder.0.path().join("t"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Fits s.fits; exit code and log.
    fn run(&self, out: &str, more: &[&str]) -> (Option<i32>, String) {
        let (input, out, t) = (self.text("s.fits"), self.text(out), self.text("t"));
        let mut arguments = vec!["-i", &input, "-o", &out, "-t", &t];
        arguments.extend(more);
        desi_zfind(&arguments)
    }

    fn fit(&self, out: &str, more: &[&str]) -> Zbest {
        let (code, log) = self.run(out, more);
        assert_eq!(code, Some(0), "{log}");
        Zbest::read(&self.path(out)).unwrap()
    }

    fn priors(&self, rows: &[(i64, &str, f64, f64)], without: &str) -> String {
        let mut t = Table::new();
        let names = rows.iter().map(|r| r.1.to_string()).collect();
        for (name, data) in [
            ("TARGETID", ColumnData::I64(rows.iter().map(|r| r.0).collect())),
            ("FUNCTION", ColumnData::Str { width: 10, values: names }),
            ("Z", ColumnData::F32(rows.iter().map(|r| r.2 as f32).collect())),
            ("SIGMA", ColumnData::F64(rows.iter().map(|r| r.3).collect())),
        ] {
            if name != without {
                t.set(name, "", data);
            }
        }
        let mut fits = FitsWriter::create(&self.path("p.fits")).unwrap();
        fits.table("PRIORS", &t, &Header::new()).unwrap();
        fits.finish().unwrap();
        self.text("p.fits")
    }
}

/// A prior is added to the scan of its target and of no other: the scans of the details differ by its formula, and a
/// top hat keeps the redshift within.
#[test]
fn priors_of_a_file() {
    let folder = Folder::new();
    write_raw(&spectra(&[1, 2, 3, 4]), &folder.path("s.fits"), Width::Usual, &[]);
    let free = folder.fit("free.fits", &["--details", &folder.text("free-d.fits")]);
    let rows = [(1, "gaussian", 0.25, 0.01), (2, "lorentzien", 0.25, 0.01), (3, "tophat", 0.25, 0.02)];
    let priors = folder.priors(&rows, "");
    let bound = folder.fit("z.fits", &["--priors", &priors, "--details", &folder.text("d.fits")]);
    let read = |file: &str, hdu: &str| FitsReader::open(&folder.path(file)).unwrap().plane_f64(hdu).unwrap();
    let z = FitsReader::open(&folder.path("d.fits")).unwrap().vector("REDSHIFTS_00").unwrap();
    let (a, b) = (read("d.fits", "ZSCAN_00"), read("free-d.fits", "ZSCAN_00"));
    for (i, &z) in z.iter().enumerate() {
        let x = (z - f64::from(0.25f32)) / 0.01;
        let added = [x * x, 2.0 * (1.0 + x * x).ln()];
        for (row, expected) in added.into_iter().enumerate() {
            let found = a[(row, i)] - b[(row, i)];
            assert!((found - expected).abs() < 1e-6 * a[(row, i)], "{z}: {found} {expected}");
        }
        let outside = (z - 0.25).abs() > 0.01 + 1e-6;
        let inside = (z - 0.25).abs() < 0.01 - 1e-6;
        assert!(!outside || a[(2, i)] > 1e29, "{z}");
        assert!(!inside || a[(2, i)] == b[(2, i)]);
        assert_eq!(a[(3, i)], b[(3, i)]);
    }
    assert!((bound.redshifts[2].z - 0.25).abs() < 0.011, "{:?}", bound.redshifts[2]);
    assert_eq!(bound.redshifts[3], free.redshifts[3]);
    // the true redshift is many sigma from the centre, and wins by chi2 if the prior is wide
    let wide = folder.priors(&[(1, "gaussian", 0.25, 0.1)], "");
    let wide = folder.fit("wide.fits", &["--priors", &wide]);
    assert!((wide.redshifts[0].z - free.redshifts[0].z).abs() < 1e-9);
}

#[test]
fn files_that_are_no_priors_are_refused() {
    let folder = Folder::new();
    write_raw(&spectra(&[1]), &folder.path("s.fits"), Width::Usual, &[]);
    let refused = |priors: &str, code: i32, told: &str| {
        let (found, log) = folder.run("z.fits", &["--priors", priors]);
        assert!(found == Some(code) && log.contains(told), "{told}: {log}");
    };
    refused(&folder.text("absent.fits"), 3, "absent.fits");
    refused(&folder.text("s.fits"), 1, "PRIORS");
    for column in ["TARGETID", "FUNCTION", "Z", "SIGMA"] {
        refused(&folder.priors(&[(1, "gaussian", 0.1, 0.1)], column), 1, column);
    }
    refused(&folder.priors(&[(1, "flat", 0.1, 0.1)], ""), 1, "lorentzien");
    refused(&folder.priors(&[(1, "gaussian", 0.1, 0.0)], ""), 1, "SIGMA");
    refused(&folder.priors(&[(1, "gaussian", f64::NAN, 0.1)], ""), 1, "SIGMA");
}

/// The details hold every minimum, the best of which is the answer, and scans with their minimum there.
#[test]
fn details_hold_scans_and_minima() {
    let folder = Folder::new();
    write_raw(&spectra(&[5, 3, 9]), &folder.path("s.fits"), Width::Usual, &[]);
    for nminima in ["1", "4"] {
        let z = folder.fit("z.fits", &["--details", &folder.text("d.fits"), "--nminima", nminima]);
        let mut fits = FitsReader::open(&folder.path("d.fits")).unwrap();
        assert_eq!(fits.table("TARGETS").unwrap().ints("TARGETID"), Some(vec![5, 3, 9]));
        let t = fits.table("ZFIT").unwrap();
        let (ids, number) = (t.ints("TARGETID").unwrap(), t.ints("ZNUM").unwrap());
        let (zs, chi2) = (t.floats("Z").unwrap(), t.floats("CHI2").unwrap());
        for (row, r) in z.redshifts.iter().enumerate() {
            let mine: Vec<usize> = (0..ids.len()).filter(|i| ids[*i] == r.targetid).collect();
            assert_eq!((number[mine[0]], zs[mine[0]]), (0, r.z));
            assert!(mine.windows(2).all(|w| chi2[w[0]] <= chi2[w[1]]), "{chi2:?}");
            let classes = t.strings("SPECTYPE").unwrap();
            for class in ["GALAXY", "QSO"] {
                let count = mine.iter().filter(|i| classes[**i] == class).count();
                assert!(count >= 1 && count <= nminima.parse().unwrap(), "{class} {count}");
            }
            let scan = fits.plane_f64("ZSCAN_00").unwrap().row(row).to_vec();
            let grid = fits.vector("REDSHIFTS_00").unwrap();
            let lowest = (0..scan.len()).min_by(|a, b| scan[*a].total_cmp(&scan[*b])).unwrap();
            assert!((grid[lowest] - r.z).abs() < 1e-3, "{} {}", grid[lowest], r.z);
        }
    }
    // the answer does not depend on the details
    let with = std::fs::read(folder.path("z.fits")).unwrap();
    folder.fit("z2.fits", &["--nminima", "4"]);
    let without = Zbest::read(&folder.path("z2.fits")).unwrap();
    assert_eq!(Zbest::read(&folder.path("z.fits")).unwrap().redshifts, without.redshifts);
    assert!(!with.is_empty());
}

/// Header, tables of the other HDUs, and the choice of targets.
#[test]
fn the_file_has_redrocks_keywords_and_tables() {
    let folder = Folder::new();
    let mut s = spectra(&[5, 3, 5, 9]);
    s.header.set("SPGRP", "cumulative", "").set("SPGRPVAL", 20260101, "").set("TILEID", 80613, "");
    s.header.set("HPXNEST", true, "").set("OTHER", 1, "");
    let mut scores = Table::new();
    scores.set("TARGETID", "", ColumnData::I64(vec![5, 3, 5, 9]));
    scores.set("TSNR2_LRG", "", ColumnData::F32(vec![1.0, 2.0, 4.0, 8.0]));
    scores.set("MEDIAN_FLUX", "", ColumnData::F32(vec![1.0; 4]));
    s.scores = Some(scores);
    write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
    let (code, log) = folder.run("z.fits", &["--targetids", "9,5,77"]);
    assert!(code == Some(0) && log.contains("[77] are in none of the files"), "{log}");
    let z = Zbest::read(&folder.path("z.fits")).unwrap();
    assert_eq!(z.redshifts.iter().map(|r| r.targetid).collect::<Vec<_>>(), [5, 9]);
    assert!(z.redshifts.iter().all(is_found));
    let mut fits = FitsReader::open(&folder.path("z.fits")).unwrap();
    assert_eq!(fits.names()[1..], ["REDSHIFTS", "FIBERMAP", "EXP_FIBERMAP", "TSNR2"]);
    for hdu in ["0", "REDSHIFTS"] {
        let h = fits.header(hdu).unwrap();
        assert_eq!((h.str("TEMNAM00"), h.str("TEMVER00")), (Some("GALAXY"), Some("0")));
        assert_eq!((h.str("TEMNAM01"), h.str("TEMFIL01")), (Some("QSO"), Some("rrtemplate-QSO.fits")));
        assert_eq!(
            (h.str("SPGRP"), h.int("SPGRPVAL"), h.int("TILEID")),
            (Some("cumulative"), Some(20260101), Some(80613))
        );
        assert!(h.str("RRVER").is_some() && h.get("HPXNEST").is_some() && h.get("OTHER").is_none());
    }
    let columns: Vec<String> = fits.table("REDSHIFTS").unwrap().columns().iter().map(|c| c.name.clone()).collect();
    let expected = "TARGETID CHI2 COEFF Z ZERR ZWARN NPIXELS SPECTYPE SUBTYPE NCOEFF DELTACHI2 FITMETHOD";
    assert_eq!(columns.join(" "), expected);
    let tsnr2 = fits.table("TSNR2").unwrap();
    assert_eq!((tsnr2.ints("TARGETID"), tsnr2.floats("TSNR2_LRG")), (Some(vec![5, 9]), Some(vec![5.0, 8.0])));
    assert!(tsnr2.column("MEDIAN_FLUX").is_none());
    assert_eq!(fits.table("EXP_FIBERMAP").unwrap().ints("TARGETID"), Some(vec![5, 5, 9]));
    assert_eq!(fits.table("FIBERMAP").unwrap().ints("COADD_NUMEXP"), Some(vec![2, 1]));
}

/// A brick of one file, and one of a file an arm with keyword CHANNEL, as in 2016.
#[test]
fn bricks_of_a_production() {
    let folder = Folder::new();
    let s = spectra(&[1, 2]);
    let run = |name: &str| {
        let status = Command::new(env!("CARGO_BIN_EXE_desi_zfind"))
            .env("DESI_SPECTRO_REDUX", folder.path("redux"))
            .env("SPECPROD", "p")
            .env("RR_TEMPLATE_DIR", folder.path("t"))
            .args(["--brick", name])
            .output()
            .unwrap();
        (status.status.code(), String::from_utf8_lossy(&status.stderr).into_owned())
    };
    let file = |name: &str, stem: &str| folder.path(&format!("redux/p/bricks/{name}/{stem}-{name}.fits"));
    s.write(&file("whole", "brick")).unwrap();
    assert_eq!(run("whole").0, Some(0));
    for (band, arm) in [(Band::B, "b"), (Band::R, "r")] {
        write_brick_2016(&s, band, &file("arms", &format!("brick-{arm}")));
    }
    let (code, log) = run("arms");
    assert_eq!(code, Some(0), "{log}");
    let (whole, arms) = (file("whole", "zbest"), file("arms", "zbest"));
    assert_eq!(Zbest::read(&whole).unwrap().redshifts, Zbest::read(&arms).unwrap().redshifts);
    let (code, log) = run("absent");
    assert!(code == Some(3) && log.contains("brick-absent.fits"), "{log}");
    let (code, log) = desi_zfind(&["--brick", "whole", "-i", "x.fits"]);
    assert!(code == Some(2) && log.contains("--brick"), "{log}");
}

fn write_brick_2016(s: &Spectra, band: Band, path: &std::path::Path) {
    let b = &s.bands[&band];
    let mut header = Header::new();
    header.set("CHANNEL", band.letter().to_string(), "").set("BRICKNAM", "arms", "");
    let mut fits = FitsWriter::create(path).unwrap();
    fits.image("FLUX", b.flux.mapv(f64::from).view(), &header).unwrap();
    fits.image("IVAR", b.ivar.mapv(f64::from).view(), &Header::new()).unwrap();
    fits.image("WAVELENGTH", ArrayView1::from(&b.wave[..]), &Header::new()).unwrap();
    fits.image("RESOLUTION", b.resolution.mapv(f64::from).view(), &Header::new()).unwrap();
    fits.table("FIBERMAP", &s.fibermap.table, &Header::new()).unwrap();
    fits.finish().unwrap();
}

/// An NMF template: coefficients are not negative, and chi2 is that of the best subset of the vectors, found by trying all.
#[test]
fn nmf_templates_are_fitted_without_negative_coefficients() {
    let folder = Folder::new();
    let mut t = template("GALAXY", [4000.0, 4900.0, 5100.0]);
    // the third vector is in the data with a negative factor
    let line = |w: f64, l: f64| (-0.5 * ((w - l) / 6.0).powi(2)).exp();
    let n = t.wave.len();
    let wave = t.wave.clone();
    t.basis = Array2::from_shape_fn((3, n), |(v, i)| match v {
        0 => 1.0,
        1 => [4000.0, 4900.0, 5100.0].iter().map(|l| line(wave[i], *l)).sum(),
        _ => line(wave[i], 4600.0) + 0.1,
    });
    t.method = Method::Nmf;
    let mut s = spectra(&[1, 2]);
    for b in s.bands.values_mut() {
        for (i, w) in b.wave.iter().enumerate() {
            b.flux[(0, i)] -= line(w / 1.1, 4600.0) as f32;
        }
    }
    write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
    std::fs::remove_dir_all(folder.path("t")).unwrap();
    std::fs::create_dir(folder.path("t")).unwrap();
    write_template(&t, &folder.path("t/rrtemplate-GALAXY.fits"));
    write_template(&templates()[1], &folder.path("t/rrtemplate-QSO.fits"));
    for r in folder.fit("z.fits", &[]).redshifts {
        assert_eq!((r.fitmethod.as_str(), r.coeff.len()), ("NMF", 3));
        assert!((r.z - 0.1).abs() < 1e-3 && r.coeff.iter().all(|c| *c >= 0.0), "{r:?}");
        assert!(r.targetid != 1 || r.coeff[2] == 0.0);
        let row = r.targetid as usize - 1;
        let (chi2, coeff) = best_subset(&s, row, &t.wave, &t.basis, r.z);
        assert!((r.chi2 - chi2).abs() < 1e-3 * chi2, "{r:?} {chi2}");
        assert!(coeff.iter().zip(&r.coeff).all(|(a, b)| (a - b).abs() < 1e-4), "{r:?} {coeff:?}");
    }
}

/// chi2 and coefficients of the best combination of three vectors without a negative factor.
fn best_subset(s: &Spectra, row: usize, wave: &[f64], basis: &Array2<f64>, z: f64) -> (f64, Vec<f64>) {
    let observed: Vec<f64> = wave.iter().map(|w| w * (1.0 + z)).collect();
    let mut bins: Vec<([f64; 3], f64, f64)> = Vec::new();
    for b in s.bands.values() {
        let seen: Vec<Vec<f64>> = basis.rows().into_iter().map(|v| rebin(&b.wave, &observed, &v.to_vec())).collect();
        for (i, wave) in b.wave.iter().enumerate() {
            let unused = (5572.0..=5582.0).contains(wave);
            let weight = if unused { 0.0 } else { f64::from(b.ivar[(row, i)]) };
            bins.push(([seen[0][i], seen[1][i], seen[2][i]], f64::from(b.flux[(row, i)]), weight));
        }
    }
    let mut best = (f64::INFINITY, vec![]);
    for subset in 1..8usize {
        let used: Vec<usize> = (0..3).filter(|k| subset >> k & 1 == 1).collect();
        let mut m = numerics::SymmetricBand::zeros(used.len(), used.len() - 1);
        let mut y = vec![0.0; used.len()];
        for (v, f, w) in &bins {
            for (a, &i) in used.iter().enumerate() {
                y[a] += w * v[i] * f;
                (0..=a).for_each(|b| m.add(a, b, w * v[i] * v[used[b]]));
            }
        }
        let x = m.cholesky().unwrap().solve(&y);
        let mut coeff = vec![0.0; 3];
        used.iter().zip(&x).for_each(|(i, x)| coeff[*i] = *x);
        let model = |v: &[f64; 3]| v.iter().zip(&coeff).map(|(v, c)| v * c).sum::<f64>();
        let chi2: f64 = bins.iter().map(|(v, f, w)| w * (f - model(v)).powi(2)).sum();
        if coeff.iter().all(|c| *c >= 0.0) && chi2 < best.0 {
            best = (chi2, coeff);
        }
    }
    best
}

/// Two files of the same targets: sums over both, as if they were one.
#[test]
fn several_files_of_the_same_targets() {
    let folder = Folder::new();
    let both = spectra(&[1, 2, 1, 2]);
    write_raw(&both, &folder.path("s.fits"), Width::Usual, &[]);
    let whole = folder.fit("z.fits", &[]);
    let part = |rows: [usize; 2], name: &str, width: Width| {
        let mut s = spectra(&[1, 2]);
        for (band, b) in &mut s.bands {
            b.flux.assign(&both.bands[band].flux.select(ndarray::Axis(0), &rows));
        }
        s.fibermap = both.fibermap.select(&rows);
        write_raw(&s, &folder.path(name), width, &[]);
    };
    part([0, 1], "a.fits", Width::Usual);
    part([2, 3], "b.fits", Width::Other);
    let (a, b, t, z) = (folder.text("a.fits"), folder.text("b.fits"), folder.text("t"), folder.text("ab.fits"));
    let (code, log) = desi_zfind(&["-i", &a, &b, "-o", &z, "-t", &t]);
    assert_eq!(code, Some(0), "{log}");
    let found = Zbest::read(&folder.path("ab.fits")).unwrap();
    // the second file's f8 and f4 numbers hold the same values, but its wavelengths, which are taken from the first
    assert_eq!(found.redshifts, whole.redshifts);
    assert_eq!(found.fibermap.table.ints("COADD_NUMEXP"), Some(vec![2, 2]));
    let exposures = found.exp_fibermap.unwrap().table;
    assert_eq!(exposures.ints("TARGETID"), Some(vec![1, 2, 1, 2]));
    assert_eq!(exposures.ints("EXPID"), Some(vec![0, 1, 2, 3]));
}

/// The bits of a coadd's COADD_FIBERSTATUS (formats.md 14.3) in ZWARN (14.4).
#[test]
fn zwarn_of_the_fibermap() {
    let folder = Folder::new();
    let bits = [
        (0, 0),
        (1 << 1 | 1 << 3, 0),
        (1 << 2, 1 << 7 | 1 << 9),
        (1 << 0, 1 << 9),
        (1 << 9, 1 << 9),
        (1 << 10, 1 << 11),
        (1 << 22, 1 << 1),
        (1 << 24, 1 << 1),
        (1 << 16, 0),
    ];
    let mut s = spectra(&(1..=9).collect::<Vec<i64>>());
    s.fibermap.table.set("COADD_FIBERSTATUS", "", ColumnData::I32(bits.iter().map(|b| b.0).collect()));
    write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
    for (r, (status, expected)) in folder.fit("z.fits", &[]).redshifts.iter().zip(bits) {
        assert_eq!(r.zwarn, expected, "{status:x}");
        // NODATA leaves no redshift
        let nodata = expected & 1 << 9 != 0;
        assert_eq!((r.z == 0.0, r.fitmethod == "NONE", r.coeff.is_empty()), (nodata, nodata, nodata));
        assert!(!nodata || (r.spectype == "GALAXY" && r.subtype.is_empty()));
    }
}

/// A cosmic ray in one of four exposures spoils the fit, unless it is looked for; without one nothing is lost but a few bins.
#[test]
fn cosmic_rays_of_one_exposure_are_left_out_on_request() {
    let folder = Folder::new();
    let mut s = spectra(&[7, 7, 7, 7]);
    write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
    let best = |options: &[&str]| folder.fit("z.fits", options).redshifts[0].clone();
    let clean = best(&[]);
    let sought = best(&["--cosmics-nsig", "4"]);
    assert!(sought.npixels == clean.npixels && (sought.chi2 - clean.chi2).abs() < 5.0, "{clean:?} {sought:?}");
    let red = s.bands.get_mut(&Band::R).unwrap();
    (150..152).for_each(|j| red.flux[(2, j)] += 40.0);
    write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
    // the mean of four is 10 too high in two bins, whose sigma is 1 / sqrt(160)
    let (kept, rejected) = (best(&[]), best(&["--cosmics-nsig", "4"]));
    assert!(kept.chi2 > clean.chi2 + 10_000.0, "{clean:?} {kept:?}");
    assert!((rejected.chi2 - clean.chi2).abs() < 20.0, "{clean:?} {rejected:?}");
    assert!(is_found(&rejected) && (rejected.z - clean.z).abs() < clean.zerr, "{clean:?} {rejected:?}");
}
