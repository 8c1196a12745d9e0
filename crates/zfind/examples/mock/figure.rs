//! Purity and completeness of the redshifts of targets of one set of templates fitted with another.

use crate::{
    library, set,
    targets::{self, Truth},
};
use rayon::prelude::*;
use std::{collections::BTreeMap, error::Error, path::Path, sync::Arc};
use zfind::{
    finder::Finder,
    input::{Inputs, Source},
    minima::velocity,
    spectrum::Grid,
    svg::{Anchor, Drawing, Panel, Tick, ticks},
};

const PURITY: &str = "#1f5fa8";
const COMPLETENESS: &str = "#c8501e";

/// One target's answer.
struct Outcome {
    r: f64,
    deltachi2: f64,
    /// Of ZWARN 0.
    good: bool,
    /// Class right, and the redshift to 1000 km/s (quasars 3000 km/s).
    right: bool,
}

/// Fits `n` targets of the built-in families with the templates of `folder`, and the reverse.
pub fn draw(folder: &Path, n: usize, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut drawing = Drawing::new(900.0, 640.0);
    let pairs = [(None, Some(folder)), (Some(folder), None)];
    for (column, (made, fitted)) in pairs.into_iter().enumerate() {
        let name = |f: Option<&Path>| if f.is_some() { "redrock's" } else { "built-in" };
        let title = format!("targets: {}, templates: {}", name(made), name(fitted));
        let outcomes = outcomes(made, fitted, n)?;
        report(&title, &outcomes);
        panels(&mut drawing, column, &title, &outcomes);
    }
    Ok(std::fs::write(out, drawing.finish())?)
}

fn outcomes(made: Option<&Path>, fitted: Option<&Path>, n: usize) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let (spectra, truth) = targets::simulate(&library(made)?, n, 2);
    let grids =
        spectra.bands.iter().map(|(b, d)| (*b, Arc::new(Grid::new(d.wave.clone())))).collect::<BTreeMap<_, _>>();
    let inputs = Inputs::new(vec![Source::Desi { spectra: Box::new(spectra), grids }], &[]);
    let finder = Finder::new(set(fitted)?, inputs.range(), 3, false);
    let outcome = |(entry, truth): (_, &Truth)| {
        let answer = finder.run(inputs.target(entry), None);
        let best = answer.ranked.first()?;
        let limit = if truth.spectype == "QSO" { 3000.0 } else { 1000.0 };
        let close = velocity(best.minimum.z, truth.z).abs() < limit;
        let right = close && best.minimum.spectype == truth.spectype;
        Some(Outcome { r: truth.r, deltachi2: best.deltachi2, good: best.minimum.zwarn == 0, right })
    };
    Ok(inputs.targets.par_iter().zip(&truth).filter_map(outcome).collect())
}

/// Numbers for the text.
fn report(title: &str, outcomes: &[Outcome]) {
    println!("{title}");
    for (low, high) in [(18.0, 20.0), (20.0, 21.0), (21.0, 22.0), (22.0, 23.5), (18.0, 23.5)] {
        let bin: Vec<_> = outcomes.iter().filter(|o| (low..high).contains(&o.r)).collect();
        let (purity, completeness) = shares(&bin);
        println!("  r {low}-{high}: {} targets, purity {purity:.4}, completeness {completeness:.3}", bin.len());
    }
    for limit in [9.0, 25.0, 100.0, 400.0] {
        let above: Vec<_> = outcomes.iter().filter(|o| o.good && o.deltachi2 > limit).collect();
        println!("  DELTACHI2 > {limit}: {} targets, purity {:.4}", above.len(), shares(&above).0);
    }
}

/// Of some targets: the part of those of ZWARN 0 that is right, and the part that is right and of ZWARN 0.
fn shares(some: &[&Outcome]) -> (f64, f64) {
    let good = some.iter().filter(|o| o.good).count() as f64;
    let right = some.iter().filter(|o| o.good && o.right).count() as f64;
    (right / good, right / some.len() as f64)
}

/// A column of two panels: against magnitude, and against DELTACHI2.
fn panels(drawing: &mut Drawing, column: usize, title: &str, outcomes: &[Outcome]) {
    let left = 75.0 + 445.0 * column as f64;
    let panel = |top: f64, x| Panel { left, top, width: 360.0, height: 225.0, x, y: (0.0, 1.05) };
    let marks = ticks((0.0, 1.0), 5);
    drawing.text((left + 180.0, 28.0), 14.0, Anchor::Middle, "black", title);

    let upper = panel(45.0, (18.0, 23.5));
    drawing.axes(&upper, ("r magnitude", &ticks(upper.x, 6)), ("part", &marks));
    let bins = (0..11).map(|k| 18.0 + 0.5 * f64::from(k));
    let of_bin = |low: f64| -> (f64, (f64, f64)) {
        let bin: Vec<_> = outcomes.iter().filter(|o| (low..low + 0.5).contains(&o.r)).collect();
        (low + 0.25, shares(&bin))
    };
    curves(drawing, &upper, bins.map(of_bin).collect());

    let lower = panel(350.0, (0.0, 5.0));
    let powers: Vec<Tick> = (0..=5).map(|k| (f64::from(k), 10i64.pow(k as u32).to_string())).collect();
    drawing.axes(&lower, ("DELTACHI2", &powers), ("part", &marks));
    let right = outcomes.iter().filter(|o| o.right).count() as f64;
    let at = |step: i32| -> (f64, (f64, f64)) {
        let (low, high) = (0.25 * f64::from(step), 0.25 * f64::from(step + 1));
        let within = |o: &&Outcome| (low..high).contains(&o.deltachi2.max(1e-9).log10());
        let bin: Vec<_> = outcomes.iter().filter(within).collect();
        let purity = bin.iter().filter(|o| o.right).count() as f64 / bin.len() as f64;
        let above = outcomes.iter().filter(|o| o.right && o.deltachi2.max(1e-9).log10() >= low).count() as f64;
        (0.5 * (low + high), (purity, above / right))
    };
    curves(drawing, &lower, (0..20).map(at).collect());
    let texts = [
        ("right, of ZWARN 0 (above) or of the bin (below)".to_string(), PURITY),
        ("right, of all (above); of all right ones, beyond this DELTACHI2 (below)".to_string(), COMPLETENESS),
    ];
    if column == 0 {
        for (i, (text, colour)) in texts.into_iter().enumerate() {
            drawing.text((75.0 + 360.0 * i as f64, 632.0), 12.0, Anchor::Start, colour, &text);
        }
    }
}

fn curves(drawing: &mut Drawing, panel: &Panel, shares: Vec<(f64, (f64, f64))>) {
    let purity = shares.iter().map(|(x, s)| (*x, s.0)).collect();
    let completeness = shares.iter().map(|(x, s)| (*x, s.1)).collect();
    drawing.curves(panel, [(purity, PURITY, 2.0), (completeness, COMPLETENESS, 2.0)]);
}
