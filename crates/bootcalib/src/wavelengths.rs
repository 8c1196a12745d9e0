//! Wavelengths of every fibre: one is identified from scratch, its neighbours follow, a smooth surface holds all.

use crate::error::BootError;
use crate::identify::{self, Match, Nominal, Solution, reduced_row};
use crate::profile::Peak;
use crate::surface::{self, Sample, Terms};
use ndarray::Array2;
use numerics::legendre;
use psf::lamps::LampLine;

/// Fewest peaks of a fibre, and the fraction of them that must be explained.
const LEAST_PEAKS: usize = 8;
const LEAST_EXPLAINED: f64 = 0.55;
/// Fibres that are tried from scratch.
const TRIALS: usize = 5;
/// Shift between neighbours that is searched, pixels, and its step.
const SHIFT: f64 = 8.0;
const SHIFT_STEP: f64 = 0.25;
/// A fibre follows its neighbour if it shows this fraction of the neighbour's lines: what a fibre with a defect shows must
/// not lead the next ones astray; the surface finds its lines later.
const LEAST_SHARED: f64 = 0.6;
/// Tolerance of a line against its neighbour's and against the surface, pixels.
const NEAR: f64 = 1.2;
const SURFACE_NEAR: f64 = 0.8;
/// A line is used if it is seen in this many live fibres, a fraction.
const COMMON: f64 = 0.25;
/// Lines closer than this to one of a tenth of their intensity are blends, Angstrom.
const BLEND: f64 = 3.0;
/// Tolerances in Angstrom and terms when a fibre follows its neighbour.
const NEIGHBOUR_ROUNDS: [(f64, usize); 3] = [(1.0, 5), (0.8, 5), (0.6, 5)];
/// Error that is added to a centroid's, pixels.
const FLOOR: f64 = 0.02;

/// Rows of the lines in every fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct Wavelengths {
    /// Angstrom that map to -1 and 1.
    pub range: (f64, f64),
    /// Legendre coefficients of y over the wavelength, `[nfiber, nterms]`, pixels.
    pub coeff: Array2<f64>,
    /// Number of lines used.
    pub lines: usize,
}

/// Finds the wavelengths of every fibre of a CCD with `ny` rows from its `peaks`.
///
/// # Errors
/// [`BootError::NoLines`], [`BootError::NotIdentified`].
pub fn solve(
    peaks: &[Vec<Peak>],
    lines: &[LampLine],
    nominal: Nominal,
    ny: usize,
    terms: usize,
) -> Result<Wavelengths, BootError> {
    let lines: Vec<LampLine> = lines.iter().filter(|l| l.score > 0).cloned().collect();
    let (reference, solution) = first_fiber(peaks, &lines, nominal, ny)?;
    log::info!(
        "fibre {reference}: {} of {} peaks identified, rms {:.3} A",
        solution.matches.len(),
        peaks[reference].len(),
        solution.rms
    );
    let solutions = neighbours(peaks, &lines, reference, solution, ny);
    let range = covered(&solutions, ny);
    let usable = unblended(&lines);
    let first: Vec<Vec<Match>> =
        solutions.iter().map(|s| s.as_ref().map_or_else(Vec::new, |s| s.matches.clone())).collect();
    let mut coeff = fit(peaks, &lines, &usable, &first, range, terms)?.0;
    // second pass: all peaks against the surface
    let waves: Vec<f64> = lines.iter().map(|l| l.wave).collect();
    let second: Vec<Vec<Match>> = (0..peaks.len())
        .map(|f| {
            let at: Vec<f64> =
                waves.iter().map(|w| surface::value(&coeff, f, legendre::reduced(*w, range.0, range.1))).collect();
            let centres: Vec<f64> = peaks[f].iter().map(|p| p.centre).collect();
            identify::pairs(&centres, &at, SURFACE_NEAR)
        })
        .collect();
    let lines_used;
    (coeff, lines_used) = fit(peaks, &lines, &usable, &second, range, terms)?;
    Ok(Wavelengths { range, coeff, lines: lines_used })
}

/// The fibre that is identified best among those with most peaks.
fn first_fiber(
    peaks: &[Vec<Peak>],
    lines: &[LampLine],
    nominal: Nominal,
    ny: usize,
) -> Result<(usize, Solution), BootError> {
    let most = peaks.iter().map(Vec::len).max().unwrap_or(0);
    if most < LEAST_PEAKS {
        return Err(BootError::NoLines { found: most, needed: LEAST_PEAKS });
    }
    // fibres with many peaks, nearest to the middle first: there the smile is flat
    let mut order: Vec<usize> = (0..peaks.len()).filter(|f| 10 * peaks[*f].len() >= 8 * most).collect();
    order.sort_by_key(|f| f.abs_diff(peaks.len() / 2));
    let step = (order.len() / TRIALS).max(1);
    let mut best: Option<(usize, Solution)> = None;
    for &fiber in order.iter().step_by(step).take(TRIALS) {
        let Some(solution) = identify::identify(&peaks[fiber], lines, nominal, ny) else { continue };
        let good = solution.matches.len() as f64 > 0.8 * peaks[fiber].len() as f64 && solution.rms < 0.15;
        if best.as_ref().is_none_or(|(_, b)| b.matches.len() < solution.matches.len()) {
            best = Some((fiber, solution));
        }
        if good {
            break;
        }
    }
    let needed =
        |fiber: usize| (LEAST_EXPLAINED * peaks[fiber].len() as f64).ceil().max(LEAST_PEAKS as f64 - 2.0) as usize;
    match best {
        Some((fiber, solution)) if solution.matches.len() >= needed(fiber) => Ok((fiber, solution)),
        Some((fiber, solution)) => Err(BootError::NotIdentified {
            matched: solution.matches.len(),
            peaks: peaks[fiber].len(),
            needed: needed(fiber),
        }),
        None => Err(BootError::NotIdentified { matched: 0, peaks: most, needed: LEAST_PEAKS }),
    }
}

/// Solutions of all fibres, each from the nearest solved one on the side of the reference.
fn neighbours(
    peaks: &[Vec<Peak>],
    lines: &[LampLine],
    reference: usize,
    solution: Solution,
    ny: usize,
) -> Vec<Option<Solution>> {
    let mut solutions: Vec<Option<Solution>> = vec![None; peaks.len()];
    solutions[reference] = Some(solution);
    let waves: Vec<f64> = lines.iter().map(|l| l.wave).collect();
    let up: Vec<usize> = (reference + 1..peaks.len()).collect();
    let down: Vec<usize> = (0..reference).rev().collect();
    for order in [up, down] {
        let mut last = reference;
        for fiber in order {
            let Some(known) = &solutions[last] else { continue };
            let found = follow(known, &peaks[last], &peaks[fiber], &waves, ny);
            if found.is_some() {
                solutions[fiber] = found;
                last = fiber;
            }
        }
    }
    solutions
}

/// The solution of a fibre from that of a neighbour: their peaks differ by a shift that varies slowly.
fn follow(known: &Solution, from: &[Peak], to: &[Peak], waves: &[f64], ny: usize) -> Option<Solution> {
    let rows: Vec<f64> = known.matches.iter().map(|m| from[m.peak].centre).collect();
    let centres: Vec<f64> = to.iter().map(|p| p.centre).collect();
    let mut sorted = rows.clone();
    sorted.sort_by(f64::total_cmp);
    let n = (SHIFT / SHIFT_STEP) as i64;
    let hits = |shift: f64| {
        let moved: Vec<f64> = centres.iter().map(|c| c - shift).collect();
        identify::pairs(&moved, &sorted, NEAR).len()
    };
    // of equally good shifts the smallest
    let shift = (-n..=n)
        .map(|i| i as f64 * SHIFT_STEP)
        .max_by(|a, b| hits(*a).cmp(&hits(*b)).then(b.abs().total_cmp(&a.abs())))?;
    let moved: Vec<Peak> = from.iter().map(|p| Peak { centre: p.centre + shift, ..*p }).collect();
    let u: Vec<f64> = known.matches.iter().map(|m| reduced_row(moved[m.peak].centre, ny)).collect();
    let y: Vec<f64> = known.matches.iter().map(|m| waves[m.line]).collect();
    let terms = known.coeff.len().min(u.len().saturating_sub(2));
    let start = legendre::fit(&u, &y, &vec![1.0; u.len()], terms).ok()?;
    let solution = identify::refine(start, to, waves, ny, &NEIGHBOUR_ROUNDS)?;
    (solution.matches.len() as f64 >= LEAST_SHARED * known.matches.len() as f64).then_some(solution)
}

/// Range of wavelengths over the CCD, with a margin of 1 Angstrom.
fn covered(solutions: &[Option<Solution>], ny: usize) -> (f64, f64) {
    let ends = |u: f64| solutions.iter().flatten().map(move |s| legendre::evaluate(&s.coeff, u));
    let top = reduced_row(ny as f64, ny);
    (ends(-top).fold(f64::INFINITY, f64::min).floor() - 1.0, ends(top).fold(f64::NEG_INFINITY, f64::max).ceil() + 1.0)
}

/// Lines without a neighbour that would move their centroid.
fn unblended(lines: &[LampLine]) -> Vec<bool> {
    let clear = |a: &LampLine| {
        lines.iter().all(|b| a == b || (a.wave - b.wave).abs() > BLEND || b.intensity < 0.1 * a.intensity)
    };
    lines.iter().map(clear).collect()
}

/// The surface y(fibre, wavelength) through the matched peaks, and the number of lines used.
fn fit(
    peaks: &[Vec<Peak>],
    lines: &[LampLine],
    usable: &[bool],
    matches: &[Vec<Match>],
    range: (f64, f64),
    series: usize,
) -> Result<(Array2<f64>, usize), BootError> {
    let live = matches.iter().filter(|m| !m.is_empty()).count();
    let mut count = vec![0usize; lines.len()];
    matches.iter().flatten().for_each(|m| count[m.line] += 1);
    let common: Vec<bool> = count.iter().zip(usable).map(|(c, u)| *u && *c as f64 > COMMON * live as f64).collect();
    let samples: Vec<Sample> = matches
        .iter()
        .enumerate()
        .flat_map(|(fiber, list)| list.iter().map(move |m| (fiber, m)))
        .filter(|(_, m)| common[m.line])
        .map(|(fiber, m)| {
            let peak = peaks[fiber][m.peak];
            let u = legendre::reduced(lines[m.line].wave, range.0, range.1);
            Sample { fiber, u, value: peak.centre, weight: 1.0 / (peak.error.powi(2) + FLOOR * FLOOR) }
        })
        .collect();
    let used = common.iter().filter(|c| **c).count();
    let nfiber = peaks.len();
    let slit = 1 + (live / 10).min(4);
    let series = series.min(used.saturating_sub(1)).max(1);
    let (coeff, kept) = surface::fit(&samples, Terms { nfiber, series, slit, own: 3.min(series) })?;
    let residual: Vec<f64> = samples
        .iter()
        .zip(&kept)
        .filter(|(_, k)| **k)
        .map(|(s, _)| s.value - surface::value(&coeff, s.fiber, s.u))
        .collect();
    let rms = (residual.iter().map(|r| r * r).sum::<f64>() / residual.len().max(1) as f64).sqrt();
    log::info!("wavelengths: {used} lines, {} centroids in {live} fibres, rms {rms:.3} pixels", residual.len());
    Ok((coeff, used))
}
