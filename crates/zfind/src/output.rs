//! The answers as the files that the program writes.

use crate::{
    fibermap,
    finder::{Answer, Finder},
    input::{Entry, Inputs, Source},
};
use datamodel::{Column, ColumnData, Header, Result, Table, Zbest, fits::FitsWriter, mask::zwarn, zbest::Redshift};
use ndarray::Array2;
use std::path::Path;
use templates::Method;

/// The redshift file: one row a target, with the warnings of the fit and of the fibermap.
pub fn zbest(inputs: &Inputs, finder: &Finder, answers: &[Answer], mut header: Header) -> Zbest {
    grouping_keywords(inputs, &mut header);
    template_keywords(finder, &mut header);
    let redshifts = inputs.targets.iter().zip(answers).map(|(t, a)| redshift(inputs, finder, t, a)).collect();
    Zbest {
        header,
        redshifts,
        fibermap: fibermap::of_targets(inputs),
        exp_fibermap: fibermap::of_exposures(inputs),
        tsnr2: fibermap::tsnr2(inputs),
    }
}

/// Keywords of the survey's grouping that a redshift file has too.
const GROUPING: [&str; 12] = [
    "SPGRP", "SPGRPVAL", "TILEID", "SPECTRO", "PETAL", "NIGHT", "EXPID", "SURVEY", "PROGRAM", "HPXPIXEL", "HPXNSIDE",
    "BRICKNAM",
];

/// Copies the grouping of the input where there is one file.
fn grouping_keywords(inputs: &Inputs, header: &mut Header) {
    let [Source::Desi { spectra, .. }] = inputs.sources.as_slice() else { return };
    for card in spectra.header.cards().iter().filter(|c| GROUPING.contains(&c.key.as_str())) {
        header.set(&card.key, card.value.clone(), &card.comment);
    }
}

/// RRVER, and TEMNAMnn, TEMVERnn, TEMFILnn of each template.
fn template_keywords(finder: &Finder, header: &mut Header) {
    header.set("RRVER", concat!("specmill ", env!("CARGO_PKG_VERSION")), "program that fitted the redshifts");
    for (i, basis) in finder.bases().iter().enumerate() {
        header.set(&format!("TEMNAM{i:02}"), basis.template.full_type(), "template");
        header.set(&format!("TEMVER{i:02}"), basis.template.version.as_str(), "its version");
        header.set(&format!("TEMFIL{i:02}"), basis.template.source.as_str(), "its file");
    }
}

fn redshift(inputs: &Inputs, finder: &Finder, target: &Entry, answer: &Answer) -> Redshift {
    let warnings = fibermap::warnings(inputs, target);
    let npixels = answer.npixels as i64;
    let nothing = |zwarn| Redshift {
        targetid: target.id,
        zwarn,
        npixels,
        spectype: "GALAXY".into(),
        fitmethod: "NONE".into(),
        ..Redshift::default()
    };
    let Some(best) = answer.ranked.first() else {
        let why = if npixels == 0 { zwarn::NODATA } else { zwarn::BAD_MINFIT };
        return nothing(warnings | why | zwarn::LITTLE_COVERAGE);
    };
    let (fit, template) = (&best.minimum, &finder.bases()[best.minimum.template].template);
    let zwarn = warnings | fit.zwarn;
    if zwarn & zwarn::NODATA != 0 {
        return nothing(zwarn);
    }
    Redshift {
        targetid: target.id,
        z: fit.z,
        zerr: fit.zerr,
        zwarn,
        npixels,
        spectype: fit.spectype.clone(),
        subtype: template.subtype.clone(),
        coeff: fit.coeff.clone(),
        chi2: fit.chi2,
        deltachi2: best.deltachi2,
        fitmethod: method(template.method).into(),
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Pca => "PCA",
        Method::Nmf => "NMF",
    }
}

/// All minima of all targets (table ZFIT, ZNUM 0 is the answer), and for each template its redshifts and the
/// coarse chi2 (images REDSHIFTS_nn and ZSCAN_nn `[ntarget, nz]`).
///
/// # Errors
/// Of writing.
pub fn write_details(path: &Path, inputs: &Inputs, finder: &Finder, answers: &[Answer]) -> Result<()> {
    let mut fits = FitsWriter::create(path)?;
    let mut header = Header::new();
    template_keywords(finder, &mut header);
    fits.empty_primary(&header)?;
    fits.table("ZFIT", &all_minima(inputs, finder, answers), &Header::new())?;
    for (t, basis) in finder.bases().iter().enumerate() {
        let redshifts = &basis.template.redshifts;
        let row = |a: &Answer| a.scans.get(t).cloned().unwrap_or_else(|| vec![crate::model::SINGULAR; redshifts.len()]);
        let values: Vec<f32> = answers.iter().flat_map(row).map(|c| c.min(1e30) as f32).collect();
        let Ok(scans) = Array2::from_shape_vec((answers.len(), redshifts.len()), values) else { continue };
        let mut header = Header::new();
        header.set("TEMNAM", basis.template.full_type(), "template");
        fits.image(&format!("REDSHIFTS_{t:02}"), ndarray::ArrayView1::from(redshifts.as_slice()), &header)?;
        fits.image(&format!("ZSCAN_{t:02}"), scans.view(), &header)?;
    }
    fits.finish()
}

fn all_minima(inputs: &Inputs, finder: &Finder, answers: &[Answer]) -> Table {
    let fits: Vec<_> = inputs
        .targets
        .iter()
        .zip(answers)
        .flat_map(|(t, a)| a.ranked.iter().enumerate().map(|(n, r)| (t.id, n as i16, &r.minimum, r.deltachi2)))
        .collect();
    let text = |width, f: &dyn Fn(usize) -> String| ColumnData::Str {
        width,
        values: fits.iter().map(|m| f(m.2.template)).collect(),
    };
    let floats = |f: &dyn Fn(usize) -> f64| ColumnData::F64((0..fits.len()).map(f).collect());
    let width = fits.iter().map(|m| m.2.coeff.len()).fold(10, usize::max);
    let coeff = fits.iter().flat_map(|m| m.2.coeff.iter().copied().chain(std::iter::repeat(0.0)).take(width)).collect();
    let template = |t: usize| &finder.bases()[t].template;
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(fits.iter().map(|m| m.0).collect()));
    table.set("ZNUM", "", ColumnData::I16(fits.iter().map(|m| m.1).collect()));
    table.set("Z", "", floats(&|i| fits[i].2.z)).set("ZERR", "", floats(&|i| fits[i].2.zerr));
    table.set("ZWARN", "", ColumnData::I64(fits.iter().map(|m| m.2.zwarn).collect()));
    table.set("CHI2", "", floats(&|i| fits[i].2.chi2)).set("DELTACHI2", "", floats(&|i| fits[i].3));
    table.set("SPECTYPE", "", text(6, &|t| template(t).spectype.clone()));
    table.set("SUBTYPE", "", text(3, &|t| template(t).subtype.clone()));
    table.set("NCOEFF", "", ColumnData::I16(fits.iter().map(|m| m.2.coeff.len() as i16).collect()));
    table.set_column(Column {
        name: "COEFF".into(),
        unit: String::new(),
        shape: vec![width],
        data: ColumnData::F64(coeff),
    });
    table
}
