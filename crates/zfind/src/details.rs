//! The details of the fits: chi2 against redshift, and every minimum.

use crate::{
    finder::{Answer, Finder},
    input::Inputs,
    output::{coefficients, method, subtype, template_keywords},
    plot::{Mark, Scan, full_name},
    search::Minimum,
};
use datamodel::{
    Column, ColumnData, Header, Result, Table,
    fits::{FitsReader, FitsWriter},
};
use ndarray::Array2;
use std::path::Path;

/// Writes a file: all minima of all targets (table ZFIT, ZNUM 0 is the answer), and for each template its redshifts and
/// the coarse chi2 (images REDSHIFTS_nn and ZSCAN_nn `[ntarget, nz]`, rows as in table TARGETS).
///
/// # Errors
/// Of writing.
pub fn write(path: &Path, inputs: &Inputs, finder: &Finder, answers: &[Answer]) -> Result<()> {
    let mut fits = FitsWriter::create(path)?;
    let mut header = Header::new();
    template_keywords(finder, &mut header);
    fits.empty_primary(&header)?;
    fits.table("ZFIT", &all_minima(inputs, finder, answers), &Header::new())?;
    let mut targets = Table::new();
    targets.set("TARGETID", "", ColumnData::I64(inputs.targets.iter().map(|t| t.id).collect()));
    fits.table("TARGETS", &targets, &Header::new())?;
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
    let text = |width, f: &dyn Fn(&Minimum) -> String| ColumnData::Str {
        width,
        values: fits.iter().map(|m| f(m.2)).collect(),
    };
    let floats = |f: &dyn Fn(usize) -> f64| ColumnData::F64((0..fits.len()).map(f).collect());
    let coeff: Vec<Vec<f64>> = fits.iter().map(|m| coefficients(m.2)).collect();
    let width = coeff.iter().map(Vec::len).fold(10, usize::max);
    let ncoeff = ColumnData::I16(coeff.iter().map(|c| c.len() as i16).collect());
    let coeff = coeff.into_iter().flat_map(|c| c.into_iter().chain(std::iter::repeat(0.0)).take(width)).collect();
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(fits.iter().map(|m| m.0).collect()));
    table.set("ZNUM", "", ColumnData::I16(fits.iter().map(|m| m.1).collect()));
    table.set("Z", "", floats(&|i| fits[i].2.z)).set("ZERR", "", floats(&|i| fits[i].2.zerr));
    table.set("ZWARN", "", ColumnData::I64(fits.iter().map(|m| m.2.zwarn).collect()));
    table.set("CHI2", "", floats(&|i| fits[i].2.chi2)).set("DELTACHI2", "", floats(&|i| fits[i].3));
    table.set("SPECTYPE", "", text(6, &|m| m.spectype.clone())).set(
        "SUBTYPE",
        "",
        text(3, &|m| subtype(finder, m).into()),
    );
    table.set("FITMETHOD", "", text(4, &|m| method(finder, m).into())).set("NCOEFF", "", ncoeff);
    table.set_column(Column {
        name: "COEFF".into(),
        unit: String::new(),
        shape: vec![width],
        data: ColumnData::F64(coeff),
    });
    table
}

/// The scans and minima of one target in a file; `None` if it does not hold the target.
///
/// # Errors
/// Of reading: a file that is none of details, or is damaged.
pub fn read(path: &Path, targetid: i64) -> Result<Option<(Vec<Scan>, Vec<Mark>)>> {
    let mut fits = FitsReader::open(path)?;
    let ids = fits.table("TARGETS")?.ints("TARGETID").unwrap_or_default();
    let Some(row) = ids.iter().position(|id| *id == targetid) else { return Ok(None) };
    let mut scans = Vec::new();
    for t in 0.. {
        let (grid, image) = (format!("REDSHIFTS_{t:02}"), format!("ZSCAN_{t:02}"));
        if !fits.has(&image) {
            break;
        }
        let name = fits.header(&image)?.str("TEMNAM").unwrap_or_default().to_string();
        let z = fits.vector(&grid)?.to_vec();
        let all = fits.plane_f64(&image)?;
        let chi2 = if row < all.nrows() { all.row(row).to_vec() } else { Vec::new() };
        scans.push(Scan { spectype: name.split(":::").next().unwrap_or_default().to_string(), z, chi2 });
    }
    let table = fits.table("ZFIT")?;
    let ids = table.ints("TARGETID").unwrap_or_default();
    let (z, chi2) = (table.floats("Z").unwrap_or_default(), table.floats("CHI2").unwrap_or_default());
    let text = |name: &str, i: usize| table.strings(name).and_then(|v| v.get(i)).map_or("", |s| s.as_str());
    let mark = |i: usize| Mark { name: full_name(text("SPECTYPE", i), text("SUBTYPE", i)), z: z[i], chi2: chi2[i] };
    let marks = (0..ids.len().min(z.len()).min(chi2.len())).filter(|&i| ids[i] == targetid).map(mark).collect();
    Ok(Some((scans, marks)))
}

/// The same from an answer.
pub fn of_answer(finder: &Finder, answer: &Answer) -> (Vec<Scan>, Vec<Mark>) {
    let scan = |(t, chi2): (usize, &Vec<f64>)| {
        let template = &finder.bases()[t].template;
        Scan { spectype: template.spectype.clone(), z: template.redshifts.clone(), chi2: chi2.clone() }
    };
    let mark = |m: &Minimum| Mark { name: full_name(&m.spectype, subtype(finder, m)), z: m.z, chi2: m.chi2 };
    let marks = answer.ranked.iter().map(|r| mark(&r.minimum)).collect();
    (answer.scans.iter().enumerate().map(scan).collect(), marks)
}
