//! The whole fit of one target: every template scanned, its minima fitted exactly, all of them ranked.

use crate::{
    archetype::Archetypes,
    basis::Basis,
    classify::{self, Ranked},
    model::Data,
    prior::Prior,
    scan::{Scanner, Transformed},
    search::{Minimum, Search, Wanted},
    spectrum::Target,
};
use datamodel::mask::zwarn::NEGATIVE_MODEL;
use rayon::prelude::*;
use std::sync::Arc;
use templates::Template;

/// What is known of a target besides its data.
struct Task<'a> {
    /// The coarse scan of each template; without them every redshift is tried.
    scans: Option<&'a [Vec<f64>]>,
    npixels: usize,
    prior: Option<&'a Prior>,
}

/// Fits within this in chi2 of the answer or its rival may take its place when they are fitted again on all points.
const CLOSE: f64 = 4.0;

/// This many times as many minima are fitted where some are implausible.
const MORE_MINIMA: usize = 3;

/// Templates prepared for spectra of one range of wavelengths.
pub struct Finder {
    bases: Vec<Basis>,
    scanners: Vec<Scanner>,
    coverage: (f64, f64),
    nminima: usize,
    complete: bool,
    archetypes: Archetypes,
}

/// All that was found of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Bins with information.
    pub npixels: usize,
    /// The fits, the best first; empty if there is nothing to fit.
    pub ranked: Vec<Ranked>,
    /// The coarse scan of each template, prior included; empty if there is nothing to fit.
    pub scans: Vec<Vec<f64>>,
}

impl Finder {
    /// Prepares templates for spectra within `range` (observed Angstrom); `nminima` minima of each are fitted;
    /// unless `complete`, not those of templates that cannot change the answer.
    pub fn new(templates: Vec<Template>, range: (f64, f64), nminima: usize, complete: bool) -> Self {
        let bases: Vec<Basis> = templates.into_par_iter().map(Basis::new).collect();
        let coverage = coverage(&bases);
        let range = (range.0.max(coverage.0), range.1.min(coverage.1).max(range.0.max(coverage.0)));
        let scanners = bases.par_iter().map(|b| Scanner::new(b, range)).collect();
        Self { bases, scanners, coverage, nminima, complete, archetypes: Archetypes::default() }
    }

    /// Makes what the scans of spectra like this one need, on all threads: else each would wait for the first.
    pub fn prepared_for(self, target: &Target) -> Self {
        self.bases.par_iter().zip(&self.scanners).for_each(|(basis, scanner)| scanner.prepare(basis, target));
        self
    }

    /// With archetypes, which have the last word on chi2; all minima are fitted then, for any may win.
    pub fn with_archetypes(mut self, archetypes: Archetypes) -> Self {
        let (low, high) = archetypes.coverage(self.bases.iter().map(|b| &b.template));
        self.coverage = (self.coverage.0.max(low), self.coverage.1.min(high));
        self.complete |= !archetypes.sets.is_empty();
        self.archetypes = archetypes;
        self
    }

    /// The archetypes in use.
    pub fn archetypes(&self) -> &Archetypes {
        &self.archetypes
    }

    /// The templates, in the order of [`Minimum::template`].
    pub fn bases(&self) -> &[Basis] {
        &self.bases
    }

    /// Observed wavelengths that every template spans at every redshift of its scan; others are not used.
    pub fn coverage(&self) -> (f64, f64) {
        self.coverage
    }

    /// Fits a target, whose data outside the coverage lose their weight.
    pub fn run(&self, mut target: Target, prior: Option<&Prior>) -> Answer {
        target.channels.iter_mut().for_each(|c| c.clean(self.coverage));
        let cameras = target.channels.len();
        target.channels.retain(|c| c.ivar.iter().any(|w| *w > 0.0));
        let npixels = target.npixels();
        if npixels == 0 {
            return Answer::default();
        }
        let scans = self.scan(&target, prior);
        let mut data = Data::new(&target);
        let mut fits = self.plausible_fits(&Task { scans: Some(&scans), npixels, prior }, &mut data);
        self.archetypes.refit(&mut fits, &target, cameras, |t| self.bases[t].template.igm);
        let ranked = self.with_coefficients(classify::rank(fits, npixels, self.nminima), &mut data);
        Answer { npixels, ranked, scans }
    }

    /// The fits of all templates that can be the answer or its rival. If the best one is implausible all such fits are
    /// marked, so that they rank behind the others; archetypes are real spectra and need no such judgement.
    fn plausible_fits(&self, task: &Task, data: &mut Data) -> Vec<Minimum> {
        let fits = self.fits(task, data, false);
        let ranked = classify::rank(fits.clone(), task.npixels, self.nminima);
        match ranked.first() {
            Some(best) if self.archetypes.sets.is_empty() && self.is_implausible(&best.minimum, data) => {
                self.fits(task, data, true)
            }
            _ => fits,
        }
    }

    /// The fits of all templates, those with the lowest coarse minimum first; if `judged`, implausible ones are marked.
    fn fits(&self, task: &Task, data: &mut Data, judged: bool) -> Vec<Minimum> {
        let scan = |t: usize| task.scans.map(|s| s[t].as_slice());
        let lowest = |t: usize| scan(t).unwrap_or_default().iter().copied().fold(f64::INFINITY, f64::min);
        let mut order: Vec<(f64, usize)> = (0..self.bases.len()).map(|t| (lowest(t), t)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut fits: Vec<Minimum> = Vec::new();
        for (chi2, t) in order {
            let basis = &self.bases[t];
            let bound = match self.complete || task.scans.is_none() {
                true => f64::INFINITY,
                false => classify::bound(&fits, &basis.template.spectype, task.npixels, self.nminima),
            };
            if scan(t).is_some_and(|s| chi2 - slack(basis, s, chi2, data.null_chi2) > bound) {
                continue;
            }
            // behind implausible minima a plausible one may be the answer
            let nminima = if judged { MORE_MINIMA * self.nminima } else { self.nminima };
            let wanted = Wanted { nminima, bound, all: self.complete || judged };
            let mut found = Search::new(t, basis, data, task.prior).minima(scan(t), wanted);
            self.judge(&mut found, data, judged);
            fits.extend(found);
        }
        if task.scans.is_some() {
            self.polish(&mut fits, task, data);
            self.judge(&mut fits, data, judged);
        }
        fits
    }

    /// Marks implausible fits if `judged`.
    fn judge(&self, fits: &mut [Minimum], data: &mut Data, judged: bool) {
        for fit in fits.iter_mut().filter(|_| judged) {
            if self.is_implausible(fit, data) {
                fit.zwarn |= NEGATIVE_MODEL;
            }
        }
    }

    /// Whether no real spectrum is like a fit.
    fn is_implausible(&self, fit: &Minimum, data: &mut Data) -> bool {
        let basis = &self.bases[fit.template];
        if basis.plausible().is_empty() {
            return false;
        }
        let normal = data.normal(basis, fit.z);
        basis.plausible().excludes(&normal, &normal.solve(basis.template.method).coeff)
    }

    /// Fits the answer, its rival and all that are close to either again, on all points of the fine grid: chi2 may have two
    /// minima there.
    fn polish(&self, fits: &mut [Minimum], task: &Task, data: &mut Data) {
        let ranked = classify::rank(fits.to_vec(), task.npixels, self.nminima);
        let Some(best) = ranked.first() else { return };
        let (answer, rival) = (best.minimum.chi2, best.minimum.chi2 + best.deltachi2);
        let decisive = |f: &Minimum| f.chi2 <= answer + CLOSE || (f.chi2 - rival).abs() <= CLOSE;
        for fit in fits.iter_mut().filter(|f| self.complete || decisive(f)) {
            let mut search = Search::new(fit.template, &self.bases[fit.template], data, task.prior);
            *fit = search.refine(fit.grid, true);
        }
    }

    /// Fills in the coefficients of the answer, and of the other fits if they are wanted.
    fn with_coefficients(&self, mut ranked: Vec<Ranked>, data: &mut Data) -> Vec<Ranked> {
        let wanted = if self.complete { ranked.len() } else { 1 };
        for r in ranked.iter_mut().take(wanted) {
            r.minimum.coeff = data.fit(&self.bases[r.minimum.template], r.minimum.z).coeff;
        }
        ranked
    }

    /// The coarse scan of each template, prior included.
    fn scan(&self, target: &Target, prior: Option<&Prior>) -> Vec<Vec<f64>> {
        let null_chi2 = target.null_chi2();
        let mut made: Vec<Arc<Transformed>> = Vec::new();
        let scan = |(basis, scanner): (&Basis, &Scanner)| {
            let data = scanner.transform(target, &mut made);
            let mut chi2 = scanner.scan(basis, &data, null_chi2);
            if let Some(prior) = prior {
                chi2.iter_mut().zip(&basis.template.redshifts).for_each(|(c, &z)| *c += prior.chi2(z));
            }
            chi2
        };
        self.bases.iter().zip(&self.scanners).map(scan).collect()
    }

    /// The same without the coarse scan: the exact chi2 at every redshift of every template.
    pub fn run_exhaustively(&self, mut target: Target, prior: Option<&Prior>) -> Answer {
        target.channels.iter_mut().for_each(|c| c.clean(self.coverage));
        let npixels = target.npixels();
        let mut data = Data::new(&target);
        let fits = self.plausible_fits(&Task { scans: None, npixels, prior }, &mut data);
        let ranked = self.with_coefficients(classify::rank(fits, npixels, self.nminima), &mut data);
        Answer { npixels, ranked, scans: Vec::new() }
    }
}

/// By how much the exact chi2 of a template may be below the lowest one of its coarse scan: constant, and in parts of
/// the lowest's depth below the median, of what the template explains, and of its chi2 (measured, see the
/// documentation).
fn slack(basis: &Basis, scan: &[f64], lowest: f64, null_chi2: f64) -> f64 {
    if basis.template.spectype == "STAR" {
        return 10.0 + (0.012 * (null_chi2 - lowest)).min(0.1 * lowest).max(0.0);
    }
    let median = numerics::robust::median(scan).unwrap_or(lowest);
    30.0 + 0.35 * (median - lowest).max(0.0)
}

/// Observed wavelengths that every template spans at every redshift of its scan.
fn coverage(bases: &[Basis]) -> (f64, f64) {
    bases.iter().fold((0.0, f64::INFINITY), |(low, high), b| {
        let (first, last) = b.span();
        let z = &b.template.redshifts;
        let (z_min, z_max) = (z.first().copied().unwrap_or(0.0), z.last().copied().unwrap_or(0.0));
        (low.max(first * (1.0 + z_max)), high.min(last * (1.0 + z_min)))
    })
}
