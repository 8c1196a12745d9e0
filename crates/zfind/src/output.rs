//! The answers as the files that the program writes.

use crate::{
    basis::Basis,
    fibermap,
    finder::{Answer, Finder},
    input::{self, Entry, Inputs, Source},
    search::Minimum,
};
use datamodel::{Column, ColumnData, Header, Table, Zbest, mask::zwarn, zbest::Redshift};
use templates::Method;

/// The redshift file: one row a target, with the warnings of the fit and of the fibermap.
pub fn zbest(inputs: &Inputs, finder: &Finder, answers: &[Answer], mut header: Header) -> Zbest {
    grouping_keywords(inputs, &mut header);
    template_keywords(finder, &mut header);
    let (fibermap, exp_fibermap) = fibermap::of_targets(inputs);
    let statuses = fibermap::statuses(inputs, &fibermap);
    let warnings = inputs.targets.iter().zip(statuses).map(|(t, status)| fibermap::warnings(inputs, t, status));
    let fitted = inputs.targets.iter().zip(answers).zip(warnings);
    let redshifts = fitted.map(|((t, a), warnings)| redshift(finder, t, a, warnings)).collect();
    Zbest {
        header,
        redshifts,
        extra: archetype_columns(inputs, finder, answers),
        fibermap,
        exp_fibermap,
        tsnr2: fibermap::tsnr2(inputs),
    }
}

/// Keywords of the survey's grouping that a redshift file has too.
const GROUPING: [&str; 14] = [
    "SPGRP", "SPGRPVAL", "TILEID", "SPECTRO", "PETAL", "NIGHT", "EXPID", "HPXPIXEL", "HPXNSIDE", "HPXNEST", "SURVEY",
    "PROGRAM", "FAPRGRM", "BRICKNAM",
];

/// Copies the grouping of the first file.
fn grouping_keywords(inputs: &Inputs, header: &mut Header) {
    let Some(Source::Desi { spectra, .. }) = inputs.sources.first() else { return };
    for card in spectra.header.cards().iter().filter(|c| GROUPING.contains(&c.key.as_str())) {
        header.set(&card.key, card.value.clone(), &card.comment);
    }
}

/// RRVER, and TEMNAMnn, TEMVERnn, TEMFILnn of each template, ARCNAMnn, ARCVERnn, ARCFILnn of each set of archetypes.
pub(crate) fn template_keywords(finder: &Finder, header: &mut Header) {
    header.set("RRVER", concat!("specmill ", env!("CARGO_PKG_VERSION")), "program that fitted the redshifts");
    for (i, basis) in finder.bases().iter().enumerate() {
        header.set(&format!("TEMNAM{i:02}"), basis.template.full_type(), "template");
        header.set(&format!("TEMVER{i:02}"), basis.template.version.as_str(), "its version");
        header.set(&format!("TEMFIL{i:02}"), basis.template.source.as_str(), "its file");
    }
    for (i, set) in finder.archetypes().sets.iter().enumerate() {
        header.set(&format!("ARCNAM{i:02}"), set.spectype.as_str(), "class of the archetypes");
        header.set(&format!("ARCVER{i:02}"), set.version.as_str(), "their version");
        header.set(&format!("ARCFIL{i:02}"), set.source.as_str(), "their file");
    }
}

fn redshift(finder: &Finder, target: &Entry, answer: &Answer, warnings: i64) -> Redshift {
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
    let fit = &best.minimum;
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
        subtype: subtype(finder, fit).into(),
        coeff: coefficients(fit),
        chi2: fit.chi2,
        deltachi2: best.deltachi2,
        fitmethod: method(finder, fit).into(),
    }
}

pub(crate) fn subtype<'a>(finder: &'a Finder, fit: &'a Minimum) -> &'a str {
    let of_template = || finder.bases()[fit.template].template.subtype.as_str();
    fit.archetype.as_ref().map_or_else(of_template, |a| a.subtype.as_str())
}

pub(crate) fn coefficients(fit: &Minimum) -> Vec<f64> {
    fit.archetype.as_ref().map_or_else(|| fit.coeff.clone(), |a| vec![a.alpha])
}

pub(crate) fn method(finder: &Finder, fit: &Minimum) -> &'static str {
    match (&fit.archetype, finder.bases()[fit.template].template.method) {
        (Some(_), _) => "ARCH",
        (None, Method::Pca) => "PCA",
        (None, Method::Nmf) => "NMF",
    }
}

/// Where archetypes have the last word, LEGCOEFF `[ncamera, 2]` of their polynomials (0 for other fits), and class and
/// coefficients of the template that found the redshift: PCA_COEFF, PCA_SPECTYPE, PCA_SUBTYPE.
fn archetype_columns(inputs: &Inputs, finder: &Finder, answers: &[Answer]) -> Table {
    let mut table = Table::new();
    if finder.archetypes().sets.is_empty() {
        return table;
    }
    let starts = inputs.cameras();
    let ncoeff = finder.bases().iter().map(Basis::len).fold(0, usize::max);
    let (mut legendre, mut coeff) = (Vec::new(), Vec::new());
    let (mut spectype, mut subtype) = (Vec::new(), Vec::new());
    for answer in answers {
        let fit = answer.ranked.first().map(|r| &r.minimum);
        let cameras = fit.and_then(|f| f.archetype.as_ref()).map_or(&[][..], |a| &a.legendre);
        let of_camera =
            |s: &f64| cameras.iter().find(|c| (c.0 - s).abs() < input::SAME_CAMERA).map_or([0.0; 2], |c| c.1);
        legendre.extend(starts.iter().flat_map(of_camera));
        let of_template = fit.map_or(&[][..], |f| &f.coeff);
        coeff.extend(of_template.iter().copied().chain(std::iter::repeat(0.0)).take(ncoeff));
        let template = fit.map(|f| &finder.bases()[f.template].template);
        spectype.push(template.map_or("GALAXY".into(), |t| t.spectype.clone()));
        subtype.push(template.map_or(String::new(), |t| t.subtype.clone()));
    }
    let mut vectors = |name: &str, shape: Vec<usize>, values| {
        let data = ColumnData::F64(values);
        table.set_column(Column { name: name.into(), unit: String::new(), shape, data });
    };
    vectors("LEGCOEFF", vec![starts.len(), 2], legendre);
    vectors("PCA_COEFF", vec![ncoeff], coeff);
    table.set("PCA_SPECTYPE", "", ColumnData::Str { width: 6, values: spectype });
    table.set("PCA_SUBTYPE", "", ColumnData::Str { width: 3, values: subtype });
    table
}
