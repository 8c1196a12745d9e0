//! Archetypes against a dense computation, and against redrock's answers.

#![allow(clippy::unwrap_used)]

mod common;

use datamodel::{
    Column, ColumnData, Header, Table,
    fits::{FitsReader, FitsWriter},
    mask::zwarn,
};
use ndarray::Array2;
use numerics::{Resolution, resample::rebin};
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use std::{path::Path, sync::Arc};
use templates::{Igm, igm};
use zfind::{
    archetype::{Archetypes, Set},
    finder::Finder,
    input::Inputs,
    search::Minimum,
    spectrum::{Channel, Grid, Target},
};

const Z: f64 = 2.3;

/// Channels of `starts`, noisy, with a resolution of five diagonals.
fn target(starts: &[f64], rng: &mut impl Rng) -> Target {
    let channel = |first: &f64| {
        let n = 150;
        let grid = Arc::new(Grid::new((0..n).map(|i| first + 1.7 * i as f64).collect()));
        let plane = Array2::from_shape_fn((5, n), |(k, _)| [0.1f32, 0.2, 0.4, 0.2, 0.1][k]);
        let flux = (0..n).map(|i| 1.0 + 0.004 * i as f64 + rng.random_range(-0.5..0.5)).collect();
        let ivar = (0..n).map(|i| if i % 11 == 0 { 0.0 } else { rng.random_range(1.0..20.0) }).collect();
        Channel { grid, flux, ivar, resolution: Resolution::from_dia(plane.view()) }
    };
    Target { id: 1, channels: starts.iter().map(channel).collect() }
}

/// Archetypes of random bumps; those of a negative `sign` can only be fitted with a negative factor.
fn set(sign: f64, rng: &mut impl Rng) -> Set {
    let wave: Vec<f64> = (0..2000).map(|i| 1000.0 + 0.5 * f64::from(i)).collect();
    let (a, b): (Vec<f64>, Vec<f64>) =
        (0..4).map(|_| (rng.random_range(5.0..30.0), rng.random_range(0.1..0.9))).unzip();
    let flux = Array2::from_shape_fn((4, 2000), |(k, i)| sign * (1.0 + b[k] * (wave[i] / a[k]).sin()));
    let subtypes = (0..4).map(|k| format!("T_{k}")).collect();
    Set { spectype: "QSO".into(), version: "1".into(), source: "test".into(), wave, flux, subtypes }
}

fn minimum() -> Minimum {
    Minimum {
        template: 0,
        spectype: "QSO".into(),
        grid: 0,
        z: Z,
        zerr: 1e-4,
        zwarn: 0,
        chi2: 1.0,
        coeff: vec![0.0; 4],
        archetype: None,
    }
}

/// Gauss-Jordan elimination with pivots.
fn dense_solve(mut m: Vec<Vec<f64>>, mut y: Vec<f64>) -> Vec<f64> {
    for c in 0..y.len() {
        let pivot = (c..y.len()).max_by(|a, b| m[*a][c].abs().total_cmp(&m[*b][c].abs())).unwrap();
        m.swap(c, pivot);
        y.swap(c, pivot);
        for r in (0..y.len()).filter(|r| *r != c) {
            let f = m[r][c] / m[c][c];
            let row = m[c].clone();
            m[r].iter_mut().zip(row).for_each(|(a, b)| *a -= f * b);
            y[r] -= f * y[c];
        }
    }
    (0..y.len()).map(|i| y[i] / m[i][i]).collect()
}

/// A bin: the columns of the model there, flux, inverse variance.
type Bin = (Vec<f64>, f64, f64);

/// All columns of the model of one archetype written out over all bins, and its best coefficients and chi2.
fn dense(target: &Target, set: &Set, k: usize, prior: f64) -> (Vec<f64>, f64) {
    let n = target.channels.len();
    let mut rows: Vec<Bin> = Vec::new();
    for (c, channel) in target.channels.iter().enumerate() {
        let wave = &channel.grid.wave;
        let observed: Vec<f64> = set.wave.iter().map(|w| w * (1.0 + Z)).collect();
        let mut archetype = rebin(wave, &observed, &set.flux.row(k).to_vec());
        archetype.iter_mut().zip(wave).for_each(|(a, w)| *a *= igm::transmission(Igm::Kamble20, Z, *w));
        let slope: Vec<f64> =
            wave.iter().map(|w| 2.0 * (w - wave[0]) / (wave[wave.len() - 1] - wave[0]) - 1.0).collect();
        let seen = [archetype, vec![1.0; wave.len()], slope].map(|v| channel.resolution.apply(&v));
        for (i, (&flux, &ivar)) in channel.flux.iter().zip(&channel.ivar).enumerate() {
            let mut columns = vec![0.0; 1 + 2 * n];
            columns[0] = seen[0][i];
            (columns[1 + 2 * c], columns[2 + 2 * c]) = (seen[1][i], seen[2][i]);
            rows.push((columns, flux, ivar));
        }
    }
    let fit = |used: &[usize]| {
        let sum = |f: &dyn Fn(&Bin) -> f64| rows.iter().map(f).sum::<f64>();
        let entry = |a: usize, b: usize| sum(&|r| r.2 * r.0[a] * r.0[b]) + if a == b && a > 0 { prior } else { 0.0 };
        let m = used.iter().map(|&a| used.iter().map(|&b| entry(a, b)).collect()).collect();
        let x = dense_solve(m, used.iter().map(|&a| sum(&|r| r.2 * r.0[a] * r.1)).collect());
        let mut coeff = vec![0.0; 1 + 2 * n];
        used.iter().zip(x).for_each(|(&u, x)| coeff[u] = x);
        coeff
    };
    let all: Vec<usize> = (0..=2 * n).collect();
    let mut coeff = fit(&all);
    if coeff[0] < 0.0 {
        coeff = fit(&all[1..]);
    }
    let residual = |r: &Bin| r.1 - r.0.iter().zip(&coeff).map(|(a, b)| a * b).sum::<f64>();
    let chi2 = rows.iter().map(|r| r.2 * residual(r).powi(2)).sum();
    (coeff, chi2)
}

#[test]
fn the_best_archetype_is_that_of_a_dense_computation() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for (starts, sign) in [(&[3600.0, 3900.0, 4300.0][..], 1.0), (&[3700.0][..], 1.0), (&[3600.0, 4200.0][..], -1.0)] {
        let (target, set) = (target(starts, &mut rng), set(sign, &mut rng));
        // one camera has no prior
        let prior = if starts.len() > 1 { 100.0 } else { 0.0 };
        let fits: Vec<_> = (0..4).map(|k| dense(&target, &set, k, prior)).collect();
        let best = (0..4).min_by(|a, b| fits[*a].1.total_cmp(&fits[*b].1)).unwrap();
        let mut found = [minimum()];
        let archetypes = Archetypes { sets: vec![set] };
        archetypes.refit(&mut found, &target, starts.len(), |_| Igm::Kamble20);
        let a = found[0].archetype.as_ref().unwrap();
        let (coeff, chi2) = &fits[best];
        assert!((found[0].chi2 - chi2).abs() < 1e-8 * chi2, "{} {chi2}", found[0].chi2);
        assert!((a.alpha - coeff[0]).abs() < 1e-9);
        for (c, (first, terms)) in a.legendre.iter().enumerate() {
            assert_eq!(*first, starts[c]);
            assert!((0..2).all(|k| (terms[k] - coeff[1 + 2 * c + k]).abs() < 1e-9), "{terms:?} {coeff:?}");
        }
        assert_eq!(found[0].zwarn, if sign < 0.0 { zwarn::NEGATIVE_MODEL } else { 0 });
        if sign > 0.0 {
            assert_eq!(a.subtype, format!("T_{best}"));
        }
    }
}

/// The first 30 archetypes of redrock's old galaxy basis, as a file.
fn write_archetypes(template: &Path, path: &Path) {
    let mut fits = FitsReader::open(template).unwrap();
    let (basis, coeff) = (fits.plane_f64("BASIS_VECTORS").unwrap(), fits.plane_f64("ARCHETYPE_COEFF").unwrap());
    let mut flux = Array2::from_shape_fn((30, basis.ncols()), |(i, j)| {
        coeff.row(i).iter().zip(basis.column(j)).map(|(c, b)| c * b).sum::<f64>()
    });
    for mut row in flux.rows_mut() {
        let mean = row.iter().map(|f| f.abs()).sum::<f64>() / row.len() as f64;
        row.mapv_inplace(|f| f / mean);
    }
    let of_template = fits.header("BASIS_VECTORS").unwrap();
    let mut header = Header::new();
    ["CRVAL1", "CDELT1"].iter().for_each(|k| _ = header.set(k, of_template.float(k).unwrap(), ""));
    header.set("LOGLAM", false, "").set("RRTYPE", "GALAXY", "").set("VERSION", "1", "");
    let mut table = Table::new();
    let data = ColumnData::F32(flux.iter().map(|f| *f as f32).collect());
    table.set_column(Column { name: "ARCHETYPE".into(), unit: String::new(), shape: vec![flux.ncols()], data });
    table.set("SUBTYPE", "", ColumnData::Str { width: 3, values: vec!["GAL".into(); 30] });
    let mut fits = FitsWriter::create(path).unwrap();
    fits.table("ARCHETYPES", &table, &header).unwrap();
    fits.finish().unwrap();
}

/// What redrock 0.22 (`rrdesi --archetypes`) finds with the same templates and archetypes: TARGETID, SUBTYPE, Z, ZERR, CHI2,
/// DELTACHI2, first coefficient, LEGCOEFF.
type Answer = (i64, &'static str, f64, f64, f64, f64, f64, [f64; 6]);
#[rustfmt::skip]
const REDROCK: [Answer; 6] = [
    (39627000077000007, "GAL_2", 0.6352411693989423, 2.6589598e-5, 8315.677, 1011.22986, 0.60995287,
     [-0.189363179, 0.077003003, -0.177116003, -0.042728309, -0.146554468, 0.027819362]),
    (39627000077000014, "GAL_23", 0.6103369801324606, 8.294676e-5, 7978.304, 179.37714, 0.4584468,
     [-0.012626971, 0.015486159, -0.003936659, 0.023085454, -0.007272248, -0.014788838]),
    (39627000077000021, "GAL_28", 0.24608486978996588, 7.29083e-5, 8521.356, 197.82619, 1.2471595,
     [-0.177142437, 0.462563317, 0.694826810, 0.251778979, 0.855084344, -0.033134994]),
    (39627000077000042, "GAL_24", 0.632231635345026, 3.587039e-6, 9939.884, 14949.264, 4.904668,
     [-0.493598842, -0.161646680, -1.037818364, -0.538786258, -1.480901575, 0.019666890]),
    (39627000077000056, "GAL_6", 0.7424361203548908, 3.7169764e-6, 9814.101, 30208.477, 6.392419,
     [-1.203070814, 0.415761142, -0.773289155, -0.088327064, -0.427973005, 0.253595120]),
    (39627000077000000, "HIZ", 2.063742600924154, 2.956616e-4, 8018.9165, 3601.5725, 2.4373286, [0.0; 6]),
];

#[test]
fn archetypes_get_redrocks_answers() {
    let (Some(spectra), Some(templates)) = (common::shared("redshift/spectra-sim.fits"), common::redrock_templates())
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let basis = common::shared("templates/redrock/rrtemplate-GALAXY-None-v0.0.fits").unwrap();
    write_archetypes(&basis, &folder.path().join("rrarchetype-galaxy.fits"));
    let archetypes = Archetypes::load(folder.path()).unwrap();
    let ids: Vec<i64> = REDROCK.iter().map(|r| r.0).collect();
    let inputs = Inputs::read(&[spectra], &ids).unwrap();
    let finder = Finder::new(templates, inputs.range(), 9, false).with_archetypes(archetypes);
    let answers: Vec<_> = inputs.targets.par_iter().map(|t| finder.run(inputs.target(t), None)).collect();
    let zbest = zfind::output::zbest(&inputs, &finder, &answers, Header::new());
    assert_eq!(zbest.header.str("ARCFIL00"), Some("rrarchetype-galaxy.fits"));
    let legendre = zbest.extra.floats("LEGCOEFF").unwrap();
    for (row, r) in zbest.redshifts.iter().enumerate() {
        let (_, subtype, z, zerr, chi2, deltachi2, coeff, terms) = REDROCK.iter().find(|a| a.0 == r.targetid).unwrap();
        assert_eq!(r.subtype, *subtype);
        assert_eq!(r.fitmethod, if *subtype == "HIZ" { "PCA" } else { "ARCH" });
        assert_eq!(r.zwarn, 0);
        assert!((r.z - z).abs() < 1e-4 * zerr && (r.zerr / zerr - 1.0).abs() < 1e-4, "{r:?}");
        assert!((r.chi2 / chi2 - 1.0).abs() < 1e-6 && (r.deltachi2 / deltachi2 - 1.0).abs() < 1e-4, "{r:?}");
        assert!((r.coeff[0] / coeff - 1.0).abs() < 1e-5, "{r:?}");
        assert!((0..6).all(|k| (legendre[6 * row + k] - terms[k]).abs() < 1e-6), "{r:?}");
    }
}

#[test]
fn files_that_are_no_archetypes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rrarchetype-x.fits");
    let error = |path: &Path| Archetypes::load(path).err().unwrap().to_string();
    assert!(error(folder.path()).contains("rrarchetype-*.fits"));
    assert!(error(&path).contains("no such file"));
    let write = |values: Vec<f32>, keywords: &[(&str, f64)], class: &str| {
        let mut header = Header::new();
        keywords.iter().for_each(|(k, v)| _ = header.set(k, *v, ""));
        header.set("RRTYPE", class, "");
        let mut table = Table::new();
        let (shape, data) = (vec![values.len()], ColumnData::F32(values));
        table.set_column(Column { name: "ARCHETYPE".into(), unit: String::new(), shape, data });
        let mut fits = FitsWriter::create(&path).unwrap();
        fits.table("ARCHETYPES", &table, &header).unwrap();
        fits.finish().unwrap();
    };
    let grid = [("CRVAL1", 1000.0), ("CDELT1", 1.0)];
    for (values, keywords, class, told) in [
        (vec![1.0, f32::NAN, 1.0], &grid[..], "GALAXY", "finite"),
        (vec![1.0; 3], &grid[..1], "GALAXY", "CDELT1"),
        (vec![1.0; 3], &grid[..], "MOON", "RRTYPE"),
        (vec![1.0; 3], &[("CRVAL1", 1000.0), ("CDELT1", -1.0)][..], "GALAXY", "ascending"),
    ] {
        write(values, keywords, class);
        assert!(error(&path).contains(told), "{told}: {}", error(&path));
    }
    write(vec![1.0; 3], &grid, "GALAXY");
    assert_eq!(Archetypes::load(&path).unwrap().sets[0].subtypes, ["_0"]);
    std::fs::copy(&path, folder.path().join("rrarchetype-y.fits")).unwrap();
    assert!(error(folder.path()).contains("rrarchetype-x.fits has too"));
}
