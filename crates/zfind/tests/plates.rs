//! Spectra of SDSS: a plate's file holds what the files of its spectra hold.

#![allow(clippy::unwrap_used)]

mod common;

use datamodel::{
    ColumnData, Header, Table,
    fits::{FitsReader, FitsWriter},
};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use zfind::{
    finder::{Answer, Finder},
    input::Inputs,
};

/// log10 wavelength of the plate's first bin, and bins.
const START: f64 = 3.55;
const STEP: f64 = 1e-4;
const NWAVE: usize = 4700;

/// A spPlate file of single spectra of one plate; bins that a file lacks have ivar 0.
fn write_plate(files: &[PathBuf], path: &Path, keywords: &[(&str, f64)]) {
    write_damaged_plate(files, path, keywords, |_| ());
}

/// The same, its planes (flux, ivar, dispersion) changed.
fn write_damaged_plate(files: &[PathBuf], path: &Path, keywords: &[(&str, f64)], damage: impl Fn(&mut [Array2<f32>])) {
    let n = files.len();
    let mut planes: Vec<Array2<f32>> = vec![Array2::zeros((n, NWAVE)); 3];
    let mut mask = Array2::<u32>::zeros((n, NWAVE));
    let (mut ids, mut ra, mut types) = (vec![], vec![], vec![]);
    for (r, file) in files.iter().enumerate() {
        let mut fits = FitsReader::open(file).unwrap();
        let table = fits.table("1").unwrap();
        let loglam = table.floats("loglam").unwrap();
        let first = ((loglam[0] - START) / STEP).round() as usize;
        for (plane, name) in planes.iter_mut().zip(["flux", "ivar", "wdisp"]) {
            let values = table.floats(name).unwrap();
            values.iter().enumerate().for_each(|(i, v)| plane[(r, first + i)] = *v as f32);
        }
        for (i, m) in table.ints("and_mask").unwrap().into_iter().enumerate() {
            mask[(r, first + i)] = m as u32;
        }
        let all = fits.table("2").unwrap();
        ids.push(all.ints("FIBERID").unwrap()[0] as i32);
        ra.push(all.floats("PLUG_RA").unwrap()[0]);
        types.push(all.strings("OBJTYPE").unwrap()[0].clone());
    }
    damage(&mut planes);
    let mut header = Header::new();
    for (key, value) in keywords {
        match key.starts_with("COEFF") {
            true => header.set(key, *value, ""),
            false => header.set(key, *value as i64, ""),
        };
    }
    let mut plugmap = Table::new();
    plugmap.set("FIBERID", "", ColumnData::I32(ids)).set("RA", "", ColumnData::F64(ra.clone()));
    plugmap.set("DEC", "", ColumnData::F64(ra)).set("OBJTYPE", "", ColumnData::Str { width: 16, values: types });
    let mut fits = FitsWriter::create(path).unwrap();
    fits.image("", planes[0].view(), &header).unwrap();
    fits.image("", planes[1].view(), &Header::new()).unwrap();
    fits.image("", mask.view(), &Header::new()).unwrap();
    fits.image("", mask.view(), &Header::new()).unwrap();
    fits.image("", planes[2].view(), &Header::new()).unwrap();
    fits.table("PLUGMAP", &plugmap, &Header::new()).unwrap();
    fits.image("", planes[0].view(), &Header::new()).unwrap();
    fits.finish().unwrap();
}

fn files_of_a_plate() -> Option<Vec<PathBuf>> {
    let folder = common::shared("spectra/sdss")?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.file_name().unwrap().to_string_lossy().starts_with("spec-4391-55866-05"));
    files.sort();
    files.truncate(6);
    Some(files)
}

const KEYWORDS: [(&str, f64); 4] = [("COEFF0", START), ("COEFF1", STEP), ("PLATEID", 4391.0), ("MJD", 55866.0)];

#[test]
fn a_plate_gets_the_answers_of_its_spectra() {
    let (Some(files), Some(templates)) = (files_of_a_plate(), common::redrock_templates()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let plate = folder.path().join("spPlate-4391-55866.fits");
    write_plate(&files, &plate, &KEYWORDS);
    let (single, _, expected) = common::fit(&files, templates.clone());
    let (inputs, finder, answers) = common::fit(std::slice::from_ref(&plate), templates);
    assert_eq!(inputs.targets.len(), files.len());
    for (i, (answer, e)) in answers.iter().zip(&expected).enumerate() {
        assert_eq!(inputs.targets[i].id, single.targets[i].id);
        let fibre = files[i].file_stem().unwrap().to_string_lossy()[16..].parse::<i64>().unwrap();
        assert_eq!(inputs.targets[i].id, 4391 * 1_000_000_000 + 55866 * 10_000 + fibre);
        let (a, b) = (&answer.ranked[0].minimum, &e.ranked[0].minimum);
        assert_eq!((a.template, a.zwarn, answer.npixels), (b.template, b.zwarn, e.npixels));
        // the single files give log wavelength as f4, to 2e-7
        assert!((a.z - b.z).abs() < 0.02 * b.zerr && (a.chi2 - b.chi2).abs() < 2e-4 * b.chi2, "{a:?} {b:?}");
    }
    let table = &inputs.sources[0].fibermap().table;
    let sky = table.strings("OBJTYPE").unwrap().iter().filter(|t| *t == "SKY").count();
    let skies = single.sources.iter().filter(|s| s.fibermap().is_sky()[0]).count();
    assert_eq!(sky, skies);
    // one of them alone, by its number
    let one = Inputs::read(&[plate], &[inputs.targets[2].id]).unwrap();
    let answer: Answer = finder.run(one.target(&one.targets[0]), None);
    assert_eq!((one.targets.len(), &answer), (1, &answers[2]));
}

/// The same spectrum twice, in its own file and the plate's, is one target with twice the weight.
#[test]
fn several_files_of_a_target_are_fitted_together() {
    let (Some(files), Some(templates)) = (files_of_a_plate(), common::redrock_templates()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let plate = folder.path().join("spPlate-4391-55866.fits");
    write_plate(&files[..1], &plate, &KEYWORDS);
    let inputs = Inputs::read(&[files[0].clone(), plate.clone()], &[]).unwrap();
    assert_eq!((inputs.targets.len(), inputs.targets[0].rows.len()), (1, 2));
    let finder = Finder::new(templates, inputs.range(), 3, false);
    let both = finder.run(inputs.target(&inputs.targets[0]), None);
    let alone = Inputs::read(&[plate], &[]).unwrap();
    let alone = finder.run(alone.target(&alone.targets[0]), None);
    let (b, a) = (&both.ranked[0].minimum, &alone.ranked[0].minimum);
    assert!((a.zerr / b.zerr - 2f64.sqrt()).abs() < 1e-3 && (b.chi2 - 2.0 * a.chi2).abs() < 1e-3 * b.chi2);
    assert!((a.z - b.z).abs() < 0.02 * a.zerr);
}

#[test]
fn a_plate_without_its_wavelengths_or_number_is_refused() {
    let Some(files) = files_of_a_plate() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (missing, told) in [(1, "COEFF1"), (2, "PLATEID"), (3, "MJD")] {
        let plate = folder.path().join(format!("spPlate-without-{missing}.fits"));
        let kept: Vec<_> = (0..4).filter(|k| *k != missing).map(|k| KEYWORDS[k]).collect();
        write_plate(&files[..1], &plate, &kept);
        let error = Inputs::read(&[plate], &[]).err().unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
}

/// Fibres without numbers, with negative weights or without a dispersion cost no other fibre.
#[test]
fn bad_fibres_of_a_plate_cost_no_other() {
    let (Some(files), Some(templates)) = (files_of_a_plate(), common::redrock_templates()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.fits"), folder.path().join("bad.fits"));
    write_plate(&files, &good, &KEYWORDS);
    write_damaged_plate(&files, &bad, &KEYWORDS, |planes| {
        planes[0].row_mut(1).fill(f32::NAN);
        planes[1].row_mut(3).mapv_inplace(|w| -w);
        planes[2].row_mut(4).fill(f32::NAN);
    });
    let (_, finder, expected) = common::fit(&[good], templates);
    let inputs = Inputs::read(&[bad], &[]).unwrap();
    let found: Vec<Answer> = inputs.targets.iter().map(|t| finder.run(inputs.target(t), None)).collect();
    for i in [0, 2, 5] {
        assert_eq!(found[i], expected[i]);
    }
    assert_eq!((found[1].npixels, found[3].npixels), (0, 0));
    // a dispersion of 2 bins is taken instead
    assert!(
        found[4].npixels == expected[4].npixels
            && found[4].ranked[0].minimum.chi2 != expected[4].ranked[0].minimum.chi2
    );
}
