//! A figure of one target: its spectrum, raw and smoothed, with the best model and the main lines; below, the root of chi2
//! above the best against redshift, with the minima.

use crate::{
    model::SINGULAR,
    spectrum::Target,
    svg::{Anchor, Drawing, Panel, Tick, ticks},
};
use datamodel::{mask::zwarn, zbest::Redshift};
use numerics::{LIGHT_KMS, robust::percentile};

/// Pixels of the drawing.
const SIZE: (f64, f64) = (1280.0, 860.0);
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;

/// The data are smoothed by a Gaussian of this many bins (rms).
const SMOOTHING: f64 = 4.0;

/// Minima that are marked in a panel at most.
const MARKS: usize = 6;

/// Colours of the arms in order of wavelength: raw and smoothed.
const ARMS: [(&str, &str); 3] = [("#c6d8f0", "#1f5fbf"), ("#f3cccc", "#c22a2a"), ("#d9d0e6", "#6a3d9a")];

/// Lines of galaxies and quasars, and of stars: name and vacuum rest wavelength in Angstrom (NIST; doublets by their
/// mean).
const LINES: [(&str, f64); 23] = [
    ("Lyβ", 1025.72),
    ("Lyα", 1215.67),
    ("N V", 1240.8),
    ("Si IV", 1396.8),
    ("C IV", 1549.5),
    ("C III]", 1908.7),
    ("Mg II", 2799.1),
    ("[Ne V]", 3426.8),
    ("[O II]", 3728.5),
    ("[Ne III]", 3869.9),
    ("Ca K", 3934.8),
    ("Ca H", 3969.6),
    ("Hδ", 4102.9),
    ("G", 4305.6),
    ("Hγ", 4341.7),
    ("Hβ", 4862.7),
    ("[O III]", 4960.3),
    ("[O III]", 5008.2),
    ("Mg b", 5176.6),
    ("Na D", 5895.6),
    ("[O I]", 6302.0),
    ("Hα", 6564.6),
    ("[S II]", 6725.5),
];
const STELLAR_LINES: [(&str, f64); 13] = [
    ("Ca K", 3934.8),
    ("Ca H", 3969.6),
    ("Hδ", 4102.9),
    ("Ca I", 4227.9),
    ("G", 4305.6),
    ("Hγ", 4341.7),
    ("Hβ", 4862.7),
    ("Mg b", 5176.6),
    ("Na D", 5895.6),
    ("Hα", 6564.6),
    ("TiO", 7055.0),
    ("K I", 7684.0),
    ("Ca II", 8580.0),
];

/// Names of the bits of ZWARN.
const WARNINGS: [(i64, &str); 12] = [
    (zwarn::SKY, "SKY"),
    (zwarn::LITTLE_COVERAGE, "LITTLE_COVERAGE"),
    (zwarn::SMALL_DELTA_CHI2, "SMALL_DELTA_CHI2"),
    (zwarn::NEGATIVE_MODEL, "NEGATIVE_MODEL"),
    (zwarn::MANY_OUTLIERS, "MANY_OUTLIERS"),
    (zwarn::Z_FITLIMIT, "Z_FITLIMIT"),
    (zwarn::NEGATIVE_EMISSION, "NEGATIVE_EMISSION"),
    (zwarn::UNPLUGGED, "UNPLUGGED"),
    (zwarn::BAD_TARGET, "BAD_TARGET"),
    (zwarn::NODATA, "NODATA"),
    (zwarn::BAD_MINFIT, "BAD_MINFIT"),
    (zwarn::POORDATA, "POORDATA"),
];

/// chi2 of a template against redshift.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// GALAXY, QSO or STAR.
    pub spectype: String,
    /// Redshifts.
    pub z: Vec<f64>,
    /// chi2 there.
    pub chi2: Vec<f64>,
}

/// A minimum of chi2.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Class and subclass.
    pub name: String,
    /// Redshift.
    pub z: f64,
    /// chi2.
    pub chi2: f64,
}

/// All that is drawn.
#[derive(Debug)]
pub struct Figure<'a> {
    /// The answer.
    pub redshift: &'a Redshift,
    /// The data.
    pub target: &'a Target,
    /// The best model in the bins of each channel, no number where there is none; empty if there is no model.
    pub model: Vec<Vec<f64>>,
    /// What is to be said of the model, may be empty.
    pub remark: String,
    /// chi2 of each template.
    pub scans: Vec<Scan>,
    /// Minima, the best first.
    pub minima: Vec<Mark>,
}

impl Figure<'_> {
    /// The figure as SVG.
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(SIZE.0, SIZE.1);
        self.title(&mut drawing);
        self.spectrum(&mut drawing);
        self.chi2(&mut drawing);
        drawing.finish()
    }

    fn title(&self, drawing: &mut Drawing) {
        let r = self.redshift;
        let class = full_name(&r.spectype, &r.subtype);
        let title =
            format!("target {}: {class}, z = {:.6} ± {:.6}, ZWARN {}", r.targetid, r.z, r.zerr, warnings(r.zwarn));
        let fit = format!(
            "χ² {:.1} in {} bins, Δχ² {:.1} to the next, {}{}{}",
            r.chi2,
            r.npixels,
            r.deltachi2,
            r.fitmethod,
            if self.remark.is_empty() { "" } else { "; " },
            self.remark
        );
        drawing.text((LEFT, 26.0), 18.0, Anchor::Start, "black", &title);
        drawing.text((LEFT, 47.0), 13.0, Anchor::Start, "#444444", &fit);
    }

    fn spectrum(&self, drawing: &mut Drawing) {
        let mut order: Vec<usize> = (0..self.target.channels.len()).collect();
        let start = |c: usize| self.target.channels[c].grid.wave.first().copied().unwrap_or(0.0);
        order.sort_by(|a, b| start(*a).total_cmp(&start(*b)));
        let (mut raw, mut smooth, mut model) = (Vec::new(), Vec::new(), Vec::new());
        for (arm, &c) in order.iter().enumerate() {
            let channel = &self.target.channels[c];
            let points = |v: &[f64]| channel.grid.wave.iter().copied().zip(v.iter().copied()).collect::<Vec<_>>();
            let good: Vec<f64> = channel
                .flux
                .iter()
                .zip(&channel.ivar)
                .map(|(f, w)| if *w > 0.0 && w.is_finite() { *f } else { f64::NAN })
                .collect();
            let colours = ARMS[arm % ARMS.len()];
            smooth.push((points(&smoothed(&good, &channel.ivar)), colours.1, 1.5));
            raw.push((points(&good), colours.0, 0.6));
            if let Some(m) = self.model.get(c) {
                model.push((points(m), "black", 0.9));
            }
        }
        let values: Vec<f64> = smooth.iter().flat_map(|s| s.0.iter().map(|p| p.1)).filter(|y| y.is_finite()).collect();
        let modelled = model.iter().flat_map(|s| s.0.iter().map(|p| p.1)).filter(|y| y.is_finite());
        let low = percentile(&values, 1.0).unwrap_or(0.0).min(0.0);
        let high = percentile(&values, 99.7).unwrap_or(1.0).max(modelled.fold(0.0, f64::max));
        let room = 0.05 * (high - low).max(1e-3);
        let waves = || self.target.channels.iter().flat_map(|c| [c.grid.wave.first(), c.grid.wave.last()]).flatten();
        let x = (waves().copied().fold(f64::INFINITY, f64::min), waves().copied().fold(0.0, f64::max));
        let panel = Panel {
            left: LEFT,
            top: 64.0,
            width: SIZE.0 - LEFT - RIGHT,
            height: 420.0,
            x: if x.0 < x.1 { x } else { (3600.0, 9800.0) },
            // the names of the lines are above the curves
            y: (low - room, high + 5.0 * room),
        };
        drawing.curves(&panel, raw.into_iter().chain(smooth).chain(model));
        self.lines(drawing, &panel);
        let x = ("vacuum wavelength / Å", &ticks(panel.x, 12)[..]);
        drawing.axes(&panel, x, ("flux / 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹", &ticks(panel.y, 7)));
        legend(drawing, &panel, order.len(), !self.model.is_empty());
    }

    /// The lines at the redshift, named at one of three heights so that no name is on another.
    fn lines(&self, drawing: &mut Drawing, panel: &Panel) {
        if self.redshift.zwarn & zwarn::NODATA != 0 {
            return;
        }
        let list = if self.redshift.spectype == "STAR" { &STELLAR_LINES[..] } else { &LINES[..] };
        let mut ends = [f64::NEG_INFINITY; 3];
        for (name, rest) in list {
            let wave = rest * (1.0 + self.redshift.z);
            if wave <= panel.x.0 || wave >= panel.x.1 {
                continue;
            }
            let (x, _) = panel.at(wave, panel.y.0);
            let half = 3.8 * name.chars().count() as f64;
            let level = (0..3).find(|&l| ends[l] < x - half).unwrap_or(2);
            ends[level] = x + half + 4.0;
            let top = panel.top + 16.0 + 15.0 * level as f64;
            drawing.line((x, top + 3.0), (x, panel.top + panel.height), "#808080", "2 4");
            drawing.text((x, top), 12.0, Anchor::Middle, "#202020", name);
        }
    }

    /// Galaxies and quasars against redshift; stars, whose range is narrow, against velocity.
    fn chi2(&self, drawing: &mut Drawing) {
        let usable = |c: &f64| c.is_finite() && *c < SINGULAR;
        let values: Vec<f64> = self.scans.iter().flat_map(|s| s.chi2.iter().copied()).filter(usable).collect();
        let lowest = self.minima.iter().map(|m| m.chi2).chain(values.iter().copied()).fold(f64::INFINITY, f64::min);
        if !lowest.is_finite() {
            let middle = (0.5 * SIZE.0, 690.0);
            drawing.text(middle, 14.0, Anchor::Middle, "#444444", "nothing has been fitted to this target");
            return;
        }
        let base = self.minima.first().map_or(lowest, |m| m.chi2);
        let highest = height(percentile(&values, 99.0).unwrap_or(base), base).max(3.0);
        let room = 0.08 * highest;
        let (stars, others): (Vec<&Scan>, Vec<&Scan>) = self.scans.iter().partition(|s| s.spectype == "STAR");
        let share = if stars.is_empty() || others.is_empty() { 1.0 } else { 0.74 };
        let width = SIZE.0 - LEFT - RIGHT;
        let mut panel = Panel {
            left: LEFT,
            top: 548.0,
            width: width * share,
            height: 250.0,
            x: (0.0, 1.0),
            // the list of minima is above the curves
            y: (-room, 1.6 * highest),
        };
        let title = format!("√(χ² − {base:.1})");
        if !others.is_empty() {
            let x = |z: f64| (1.0 + z).ln();
            self.scan_panel(drawing, &mut panel, &others, x, ("redshift", redshift_ticks), &title);
            panel.left += panel.width + 90.0;
            panel.width = SIZE.0 - RIGHT - panel.left;
        }
        if !stars.is_empty() {
            let few = |range| ticks(range, 3);
            self.scan_panel(drawing, &mut panel, &stars, |z| LIGHT_KMS * z, ("stars: velocity / km s⁻¹", few), "");
        }
    }

    /// Scans of some classes with their minima; `x` is the abscissa of a redshift.
    fn scan_panel(
        &self,
        drawing: &mut Drawing,
        panel: &mut Panel,
        scans: &[&Scan],
        x: impl Fn(f64) -> f64,
        (name, marks): (&str, impl Fn((f64, f64)) -> Vec<Tick>),
        title: &str,
    ) {
        let base = self.minima.first().map_or(panel.y.0, |m| m.chi2);
        let all = || scans.iter().flat_map(|s| s.z.iter().map(|z| x(*z)));
        panel.x = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        let value = |c: f64| if c < SINGULAR { height(c, base) } else { f64::NAN };
        let curve = |s: &&Scan| s.z.iter().zip(&s.chi2).map(|(z, c)| (x(*z), value(*c))).collect::<Vec<_>>();
        drawing.curves(panel, scans.iter().map(|s| (curve(s), colour(&s.spectype), 0.9)));
        drawing.axes(panel, (name, &marks(panel.x)), (title, &ticks(panel.y, 5)));
        let classes: Vec<&str> = scans.iter().map(|s| s.spectype.as_str()).collect();
        let mine = |m: &(usize, &Mark)| classes.contains(&class_of(&m.1.name));
        let minima: Vec<(usize, &Mark)> = self.minima.iter().enumerate().filter(mine).take(MARKS).collect();
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for &(number, mark) in &minima {
            let colour = colour(class_of(&mark.name));
            let at = panel.at(x(mark.z), height(mark.chi2, base));
            drawing.circle(at, 4.5, colour);
            let mut label = (at.0 + 8.0, at.1 + 4.0);
            while taken.iter().any(|t| (t.0 - label.0).abs() < 12.0 && (t.1 - label.1).abs() < 11.0) {
                label.1 -= 11.0;
            }
            taken.push(label);
            drawing.text(label, 11.0, Anchor::Start, colour, &number.to_string());
        }
        let corner = (panel.left + panel.width - 8.0, panel.top + 8.0);
        let entry = |&(number, mark): &(usize, &Mark)| {
            (format!("{number}: {} {:.5}", mark.name, mark.z), colour(class_of(&mark.name)))
        };
        drawing.list(corner, &minima.iter().map(entry).collect::<Vec<_>>());
    }
}

/// The ordinate of a chi2: the root of what it is above `base`, the significance of the difference.
fn height(chi2: f64, base: f64) -> f64 {
    (chi2 - base).max(0.0).sqrt()
}

/// `GALAXY`, `STAR M`.
pub fn full_name(spectype: &str, subtype: &str) -> String {
    format!("{} {}", spectype.trim(), subtype.trim()).trim().to_string()
}

fn class_of(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

fn warnings(zwarn: i64) -> String {
    let names: Vec<&str> = WARNINGS.iter().filter(|w| zwarn & w.0 != 0).map(|w| w.1).collect();
    if names.is_empty() { zwarn.to_string() } else { format!("{zwarn} ({})", names.join(", ")) }
}

fn colour(spectype: &str) -> &'static str {
    match spectype {
        "GALAXY" => "#1b7837",
        "QSO" => "#7b3294",
        _ => "#c2570c",
    }
}

/// Redshifts that are marked on an axis of ln(1 + z).
fn redshift_ticks(range: (f64, f64)) -> Vec<Tick> {
    let values = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0];
    let marks = values.into_iter().map(|z: f64| ((1.0 + z).ln(), z.to_string()));
    marks.filter(|m| m.0 >= range.0 && m.0 <= range.1).collect()
}

fn legend(drawing: &mut Drawing, panel: &Panel, arms: usize, model: bool) {
    let mut left = panel.left + panel.width - 330.0;
    let y = 47.0;
    for (_, smooth) in ARMS.iter().take(arms.max(1)) {
        drawing.line((left, y - 4.0), (left + 22.0, y - 4.0), smooth, "");
        left += 26.0;
    }
    drawing.text((left, y), 12.0, Anchor::Start, "black", "smoothed (raw: pale)");
    if model {
        drawing.line((left + 140.0, y - 4.0), (left + 165.0, y - 4.0), "black", "");
        drawing.text((left + 170.0, y), 12.0, Anchor::Start, "black", "model");
    }
}

/// The mean weighted by the inverse variances and a Gaussian, over bins that have data; no number far from any.
fn smoothed(flux: &[f64], ivar: &[f64]) -> Vec<f64> {
    let reach = (3.0 * SMOOTHING) as usize;
    let mean = |i: usize| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for j in i.saturating_sub(reach)..(i + reach + 1).min(flux.len()) {
            if flux[j].is_finite() {
                let distance = (j as f64 - i as f64) / SMOOTHING;
                let w = ivar[j] * (-0.5 * distance * distance).exp();
                weight += w;
                sum += w * flux[j];
            }
        }
        sum / weight
    };
    (0..flux.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_straight_line_and_bridges_gaps_of_its_width() {
        let line = |i: usize| 3.0 + 0.1 * i as f64;
        let flux: Vec<f64> = (0..200).map(|i| if i == 50 || i > 99 { f64::NAN } else { line(i) }).collect();
        let smooth = smoothed(&flux, &vec![2.0; 200]);
        assert!((15..35).chain([50]).all(|i| (smooth[i] - line(i)).abs() < 1e-12));
        assert!(smooth[111].is_finite() && smooth[112].is_nan());
        // noise of one bin is reduced by the kernel's peak, 1 / (sqrt(2 pi) sigma)
        let mut spike = vec![0.0; 100];
        spike[30] = 1.0;
        let peak = smoothed(&spike, &[1.0; 100])[30];
        assert!((peak * (2.0 * std::f64::consts::PI).sqrt() * SMOOTHING - 1.0).abs() < 0.01);
    }

    #[test]
    fn warnings_are_named() {
        assert_eq!(warnings(0), "0");
        assert_eq!(warnings(zwarn::SMALL_DELTA_CHI2 | zwarn::SKY), "5 (SKY, SMALL_DELTA_CHI2)");
    }
}
