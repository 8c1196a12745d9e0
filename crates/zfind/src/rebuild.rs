//! The best model of a target, from what a redshift file says of it.

use crate::{
    finder::Finder,
    observe::{observe, transmission},
    spectrum::{Channel, SMALLEST_ROW_SUM, Target},
};
use datamodel::Zbest;
use numerics::legendre;
use templates::{Igm, Template};

/// The model in the bins of each channel (no number where the template or the resolution has nothing), and what is to be said of it.
#[derive(Debug, Default)]
pub struct Model {
    /// As the channels of the target; empty if the file has no fit of it.
    pub channels: Vec<Vec<f64>>,
    /// May be empty.
    pub remark: String,
}

/// A model is another than that of the fit if their chi2 differ by more than this part of what there is to explain: CHI2
/// is that of a parabola, which for bright narrow lines is not that of the model at its vertex.
const SAME_CHI2: f64 = 0.01;

/// Rebuilds the model of a row of a redshift file with the templates and archetypes of `finder`; the target's data are
/// those of the fit ([`Channel::clean`]).
///
/// # Errors
/// What is missing: the template of that class, with that number of vectors.
pub fn rebuild(finder: &Finder, zbest: &Zbest, row: usize, target: &Target) -> Result<Model, String> {
    let r = &zbest.redshifts[row];
    if r.fitmethod == "NONE" || r.coeff.is_empty() {
        return Ok(Model { channels: vec![], remark: "no fit".into() });
    }
    let (channels, mut remark) = match r.fitmethod.as_str() {
        "ARCH" => of_archetype(finder, zbest, row, target)?,
        _ => (of_template(finder, (&r.spectype, &r.subtype), &r.coeff, r.z, target)?, String::new()),
    };
    let chi2 = chi2(target, &channels);
    if remark.is_empty() && (chi2 - r.chi2).abs() > SAME_CHI2 * target.null_chi2() {
        remark = format!("but χ² {chi2:.1} of this model: are templates and spectra those of the fit?");
    }
    Ok(Model { channels, remark })
}

fn of_template(
    finder: &Finder,
    (spectype, subtype): (&str, &str),
    coeff: &[f64],
    z: f64,
    target: &Target,
) -> Result<Vec<Vec<f64>>, String> {
    let template = template(finder, spectype, subtype)?;
    let n = template.basis.nrows();
    if coeff.len() < n || coeff[n..].iter().any(|c| *c != 0.0) {
        let count = coeff.len();
        let name = template.full_type();
        return Err(format!("{count} coefficients, but template {name} has {n} vectors; give --templates of the fit"));
    }
    let mut flux = vec![0.0; template.wave.len()];
    for (c, vector) in coeff.iter().zip(template.basis.rows()) {
        flux.iter_mut().zip(vector).for_each(|(f, v)| *f += c * v);
    }
    Ok(target.channels.iter().map(|c| seen(c, &template.wave, &flux, z, template.igm)).collect())
}

fn of_archetype(
    finder: &Finder,
    zbest: &Zbest,
    row: usize,
    target: &Target,
) -> Result<(Vec<Vec<f64>>, String), String> {
    let r = &zbest.redshifts[row];
    let pca = |name: &str| zbest.extra.strings(name).map_or(String::new(), |v| v[row].trim().to_string());
    let (spectype, subtype) = (pca("PCA_SPECTYPE"), pca("PCA_SUBTYPE"));
    let sets = finder.archetypes().sets.iter();
    let found = sets.filter(|s| s.spectype == r.spectype).find_map(|s| Some((s, s.position(&r.subtype)?)));
    let Some((set, i)) = found else {
        let coeff = vector(zbest, "PCA_COEFF", row);
        let channels = of_template(finder, (&spectype, &subtype), &coeff, r.z, target)?;
        return Ok((channels, "model: the template, not the archetype (give --archetypes)".into()));
    };
    let igm = template(finder, &spectype, &subtype).map_or(Igm::None, |t| t.igm);
    let flux: Vec<f64> = set.flux.row(i).iter().map(|f| r.coeff[0] * f).collect();
    let legendre = vector(zbest, "LEGCOEFF", row);
    let mut order: Vec<usize> = (0..target.channels.len()).collect();
    order.sort_by(|a, b| target.channels[*a].grid.wave[0].total_cmp(&target.channels[*b].grid.wave[0]));
    let channels = target.channels.iter().enumerate().map(|(c, channel)| {
        let camera = order.iter().position(|o| *o == c).unwrap_or(0);
        let terms = legendre.get(2 * camera..2 * camera + 2).unwrap_or_default();
        let smooth = polynomial(channel, terms);
        seen(channel, &set.wave, &flux, r.z, igm).into_iter().zip(smooth).map(|(m, p)| m + p).collect()
    });
    Ok((channels.collect(), String::new()))
}

fn template<'a>(finder: &'a Finder, spectype: &str, subtype: &str) -> Result<&'a Template, String> {
    let mut templates = finder.bases().iter().map(|b| &b.template);
    let same = |t: &&Template| t.spectype == spectype.trim() && t.subtype == subtype.trim();
    templates.find(same).ok_or_else(|| {
        let have: Vec<String> = finder.bases().iter().map(|b| b.template.full_type()).collect();
        format!(
            "the fit is {} {}, but the templates are {}; give --templates of the fit",
            spectype.trim(),
            subtype.trim(),
            have.join(", ")
        )
    })
}

/// A row of a further column of numbers; empty if there is no such column.
fn vector(zbest: &Zbest, name: &str, row: usize) -> Vec<f64> {
    let width = zbest.extra.column(name).map_or(0, datamodel::Column::repeat);
    let values = zbest.extra.floats(name).unwrap_or_default();
    values.get(row * width..(row + 1) * width).unwrap_or_default().to_vec()
}

/// The spectrum in a channel; no number in bins that it does not span.
fn seen(channel: &Channel, wave: &[f64], flux: &[f64], z: f64, igm: Igm) -> Vec<f64> {
    let (Some(first), Some(last)) = (wave.first(), wave.last()) else { return vec![] };
    let mut model = observe(channel, wave, flux, z, &transmission(&channel.grid, igm, z));
    let inside = |e: &[f64]| e[0] >= first * (1.0 + z) && e[1] <= last * (1.0 + z);
    let bins = channel.grid.edges.windows(2).zip(channel.resolution.row_sums());
    for (m, _) in model.iter_mut().zip(bins).filter(|(_, (e, sum))| !inside(e) || *sum < SMALLEST_ROW_SUM) {
        *m = f64::NAN;
    }
    model
}

fn polynomial(channel: &Channel, terms: &[f64]) -> Vec<f64> {
    let wave = &channel.grid.wave;
    let (first, last) = (wave[0], wave[wave.len() - 1]);
    let value = |w: &f64| legendre::evaluate(terms, legendre::reduced(*w, first, last));
    channel.resolution.apply(&wave.iter().map(value).collect::<Vec<_>>())
}

fn chi2(target: &Target, model: &[Vec<f64>]) -> f64 {
    let term = |c: &Channel, m: &[f64]| -> f64 {
        let bins = c.ivar.iter().zip(c.flux.iter().zip(m)).filter(|(w, (_, m))| **w > 0.0 && m.is_finite());
        bins.map(|(w, (f, m))| w * (f - m) * (f - m)).sum()
    };
    target.channels.iter().zip(model).map(|(c, m)| term(c, m)).sum()
}
