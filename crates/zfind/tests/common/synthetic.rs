//! Small made-up templates and spectra, and the program run on files of them.
#![allow(dead_code)]

use datamodel::{Band, BandSpectra, ColumnData, Fibermap, Header, Spectra, Table, fits::FitsWriter, zbest::Redshift};
use ndarray::{Array2, Array3, ArrayView1};
use std::{collections::BTreeMap, path::Path, process::Command};
use templates::{Igm, Method, Template};

pub const NWAVE: usize = 400;

/// Two vectors: a flat continuum, and three emission lines.
pub fn template(spectype: &str, lines: [f64; 3]) -> Template {
    let wave: Vec<f64> = (0..12000).map(|i| 2500.0 + 0.5 * f64::from(i)).collect();
    let line = |w: f64| lines.iter().map(|l| (-0.5 * ((w - l) / 4.0).powi(2)).exp()).sum::<f64>();
    let basis = Array2::from_shape_fn((2, wave.len()), |(v, i)| if v == 0 { 1.0 } else { line(wave[i]) });
    Template {
        spectype: spectype.into(),
        subtype: String::new(),
        version: "0".into(),
        source: "test".into(),
        wave,
        basis,
        redshifts: (0..400).map(|i| 10f64.powf(3e-4 * f64::from(i)) - 1.0).collect(),
        igm: Igm::None,
        method: Method::Pca,
        coefficients: ndarray::Array2::zeros((0, 0)),
    }
}

/// Spectra of the first template at z = 0.1, one a row, in the bands B and R.
pub fn spectra(ids: &[i64]) -> Spectra {
    let n = ids.len();
    let mut bands = BTreeMap::new();
    for (band, first) in [(Band::B, 4000.0), (Band::R, 5000.0)] {
        let wave: Vec<f64> = (0..NWAVE).map(|i| first + 2.0 * i as f64).collect();
        let line =
            |w: f64| [4000.0, 4900.0, 5100.0].iter().map(|l| (-0.5 * ((w / 1.1 - l) / 4.0).powi(2)).exp()).sum::<f64>();
        let noise = |r: usize, i: usize| ((r * 7919 + i * 104_729) % 1000) as f64 / 500.0 - 1.0;
        let flux = Array2::from_shape_fn((n, NWAVE), |(r, i)| (2.0 + 9.0 * line(wave[i]) + 0.2 * noise(r, i)) as f32);
        let mut resolution = Array3::zeros((n, 3, NWAVE));
        resolution.slice_mut(ndarray::s![.., 1, ..]).fill(1.0);
        let ivar = Array2::from_elem((n, NWAVE), 40.0);
        bands.insert(band, BandSpectra { wave, flux, ivar, mask: Array2::zeros((n, NWAVE)), resolution });
    }
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(ids.to_vec()));
    table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: vec!["TGT".into(); n] });
    table.set("FIBERSTATUS", "", ColumnData::I32(vec![0; n]));
    table.set("EXPID", "", ColumnData::I32((0..n as i32).collect()));
    table.set("NIGHT", "", ColumnData::I32(vec![20260101; n]));
    table.set("EXPTIME", "s", ColumnData::F64(vec![900.0; n]));
    Spectra {
        header: Header::new(),
        fibermap: Fibermap { header: Header::new(), table },
        exp_fibermap: None,
        bands,
        scores: None,
    }
}

/// The two templates of the tests: of the spectra, and another.
pub fn templates() -> Vec<Template> {
    vec![template("GALAXY", [4000.0, 4900.0, 5100.0]), template("QSO", [4200.0, 4800.0, 4850.0])]
}

/// Whether a fit has the redshift of [`spectra`].
pub fn is_found(r: &Redshift) -> bool {
    r.zwarn == 0 && r.spectype == "GALAXY" && (r.z - 0.1).abs() < 3.0 * r.zerr.max(1e-5) && r.deltachi2 > 100.0
}

/// Writes a template as redrock's file.
pub fn write_template(t: &Template, path: &Path) {
    let mut header = Header::new();
    header.set("CRVAL1", t.wave[0], "").set("CDELT1", t.wave[1] - t.wave[0], "").set("LOGLAM", false, "");
    header.set("RRTYPE", t.spectype.as_str(), "").set("RRSUBTYP", t.subtype.as_str(), "");
    header.set("VERSION", t.version.as_str(), "").set("RRIGM", "None", "");
    header.set("RRMETHOD", if t.method == Method::Nmf { "NMF" } else { "PCA" }, "");
    let mut fits = FitsWriter::create(path).unwrap();
    fits.image("BASIS_VECTORS", t.basis.view(), &header).unwrap();
    fits.image("REDSHIFTS", ArrayView1::from(&t.redshifts[..]), &Header::new()).unwrap();
    fits.finish().unwrap();
}

/// Writes [`templates`] into a folder.
pub fn write_templates(folder: &Path) {
    for t in templates() {
        write_template(&t, &folder.join(format!("rrtemplate-{}.fits", t.spectype)));
    }
}

/// Runs the program: exit code and log.
pub fn desi_zfind(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_desi_zfind"));
    let output = command.env_remove("RR_TEMPLATE_DIR").args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Width of the numbers of a file: the types differ between the releases.
#[derive(Clone, Copy, PartialEq)]
pub enum Width {
    /// f4 planes, u4 mask, f8 wavelengths.
    Usual,
    /// f8 planes, i4 mask, f4 wavelengths, i8 FIBERSTATUS.
    Other,
}

/// Writes spectra as they are, damaged or not, without the HDUs in `without`.
pub fn write_raw(s: &Spectra, path: &Path, width: Width, without: &[&str]) {
    let mut fits = FitsWriter::create(path).unwrap();
    let none = Header::new();
    let wanted = |name: &str| !without.contains(&name);
    fits.empty_primary(&s.header).unwrap();
    let mut fibermap = s.fibermap.table.clone();
    if width == Width::Other {
        let status = fibermap.ints("FIBERSTATUS").unwrap();
        fibermap.set("FIBERSTATUS", "", ColumnData::I64(status));
    }
    if wanted("FIBERMAP") {
        fits.table("FIBERMAP", &fibermap, &none).unwrap();
    }
    for (band, b) in &s.bands {
        let name = |what: &str| format!("{}_{what}", band.letter().to_ascii_uppercase());
        let wide = width == Width::Other;
        let wave: Vec<f32> = b.wave.iter().map(|w| *w as f32).collect();
        if wanted(&name("WAVELENGTH")) && wide {
            fits.image(&name("WAVELENGTH"), ArrayView1::from(&wave[..]), &none).unwrap();
        } else if wanted(&name("WAVELENGTH")) {
            fits.image(&name("WAVELENGTH"), ArrayView1::from(&b.wave[..]), &none).unwrap();
        }
        for (what, plane) in [("FLUX", &b.flux), ("IVAR", &b.ivar)].into_iter().filter(|p| wanted(&name(p.0))) {
            match wide {
                true => fits.image(&name(what), plane.mapv(f64::from).view(), &none).unwrap(),
                false => fits.image(&name(what), plane.view(), &none).unwrap(),
            }
        }
        if wanted(&name("MASK")) && wide {
            fits.image(&name("MASK"), b.mask.mapv(|m| m as i32).view(), &none).unwrap();
        } else if wanted(&name("MASK")) {
            fits.image(&name("MASK"), b.mask.view(), &none).unwrap();
        }
        if wanted(&name("RESOLUTION")) {
            match wide {
                true => fits.image(&name("RESOLUTION"), b.resolution.mapv(f64::from).view(), &none).unwrap(),
                false => fits.image(&name("RESOLUTION"), b.resolution.view(), &none).unwrap(),
            }
        }
    }
    if let Some(scores) = s.scores.as_ref().filter(|_| wanted("SCORES")) {
        fits.table("SCORES", scores, &none).unwrap();
    }
    fits.finish().unwrap();
}
