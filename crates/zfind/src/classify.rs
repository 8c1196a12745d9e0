//! The fits of all templates to one target, ranked: its class, redshift and warnings.

use crate::{minima::velocity, search::Minimum};
use datamodel::mask::zwarn;

/// Fits that are closer than this in km/s are the same answer: of galaxies and quasars, of stars.
pub const SAME_REDSHIFT: f64 = 1000.0;
/// The same for stars.
pub const SAME_REDSHIFT_STAR: f64 = 100.0;

/// A second good fit within this chi2 makes the first doubtful.
const SMALL_DELTA_CHI2: f64 = 9.0;

/// Warnings that put a fit behind every fit without one.
const BAD_FIT: i64 =
    zwarn::NEGATIVE_MODEL | zwarn::MANY_OUTLIERS | zwarn::Z_FITLIMIT | zwarn::NEGATIVE_EMISSION | zwarn::BAD_MINFIT;

/// A ranked fit; the first is the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The fit, with all its warnings.
    pub minimum: Minimum,
    /// chi2 of the next fit at another redshift minus its own; 0 if there is none.
    pub deltachi2: f64,
}

/// Velocity within which fits of a class are the same answer, km/s.
pub fn same_redshift(spectype: &str) -> f64 {
    if spectype == "STAR" { SAME_REDSHIFT_STAR } else { SAME_REDSHIFT }
}

/// Ranks the fits of all templates: those without warnings first, each group by chi2; the best `nminima` of
/// each class are kept. `npixels` is the number of bins with information.
pub fn rank(mut fits: Vec<Minimum>, npixels: usize, nminima: usize) -> Vec<Ranked> {
    for fit in &mut fits {
        if npixels == 0 {
            fit.zwarn |= zwarn::NODATA;
        }
        if npixels < 10 * fit.ncoeff() {
            fit.zwarn |= zwarn::LITTLE_COVERAGE;
        }
    }
    let bad = |f: &Minimum| f.zwarn & BAD_FIT != 0;
    fits.sort_by(|a, b| bad(a).cmp(&bad(b)).then(a.chi2.total_cmp(&b.chi2)));
    let mut kept: Vec<Minimum> = Vec::new();
    for fit in fits {
        if kept.iter().filter(|k| k.spectype == fit.spectype).count() < nminima {
            kept.push(fit);
        }
    }
    let apart = |a: &Minimum, b: &Minimum| {
        let limit = same_redshift(&a.spectype).min(same_redshift(&b.spectype));
        velocity(b.z, a.z).abs() > limit
    };
    (0..kept.len())
        .map(|i| {
            let rival = |j: &usize| *j != i && !bad(&kept[*j]) && apart(&kept[i], &kept[*j]);
            let difference = |j: usize| kept[j].chi2 - kept[i].chi2;
            let deltachi2 = (i + 1..kept.len()).filter(rival).map(difference).fold(f64::INFINITY, f64::min);
            let close = (0..kept.len()).filter(rival).any(|j| difference(j).abs() < SMALL_DELTA_CHI2);
            let mut minimum = kept[i].clone();
            if close {
                minimum.zwarn |= zwarn::SMALL_DELTA_CHI2;
            }
            Ranked { minimum, deltachi2: if deltachi2.is_finite() { deltachi2 } else { 0.0 } }
        })
        .collect()
}

/// The chi2 above which a further fit of a class cannot change the answer: that of the best fit's rival, or that of the
/// last fit of the class that is kept. Infinite as long as there is no good answer with a rival.
pub fn bound(fits: &[Minimum], spectype: &str, npixels: usize, nminima: usize) -> f64 {
    let ranked = rank(fits.to_vec(), npixels, nminima);
    let Some(best) = ranked.first().filter(|r| r.minimum.zwarn & BAD_FIT == 0 && r.deltachi2 > 0.0) else {
        return f64::INFINITY;
    };
    let rival = best.minimum.chi2 + best.deltachi2;
    let of_class: Vec<f64> = ranked
        .iter()
        .filter(|r| r.minimum.spectype == spectype && r.minimum.zwarn & BAD_FIT == 0)
        .map(|r| r.minimum.chi2)
        .collect();
    if of_class.len() < nminima { rival } else { of_class[nminima - 1].min(rival) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(spectype: &str, z: f64, chi2: f64, zwarn: i64) -> Minimum {
        Minimum {
            template: 0,
            spectype: spectype.into(),
            grid: 0,
            z,
            zerr: 1e-4,
            zwarn,
            chi2,
            coeff: vec![1.0; 5],
            archetype: None,
        }
    }

    #[test]
    fn the_best_good_fit_wins_and_its_rival_is_at_another_redshift() {
        let fits = vec![
            fit("GALAXY", 0.7, 1020.0, 0),
            fit("QSO", 0.5001, 1010.0, 0),
            fit("GALAXY", 0.5, 1000.0, 0),
            fit("GALAXY", 1.69, 900.0, zwarn::Z_FITLIMIT),
        ];
        let ranked = rank(fits, 5000, 3);
        assert_eq!((ranked[0].minimum.z, ranked[0].minimum.zwarn), (0.5, 0));
        assert_eq!(ranked[0].deltachi2, 20.0);
        assert_eq!(ranked[3].minimum.z, 1.69);
    }

    #[test]
    fn close_rivals_warn_on_both_sides() {
        let ranked = rank(vec![fit("GALAXY", 0.7, 1005.0, 0), fit("GALAXY", 0.5, 1000.0, 0)], 5000, 3);
        assert!(ranked.iter().all(|r| r.minimum.zwarn == zwarn::SMALL_DELTA_CHI2));
        assert_eq!((ranked[0].deltachi2, ranked[1].deltachi2), (5.0, 0.0));
    }

    #[test]
    fn star_types_share_their_places_and_are_told_apart_at_100_km_s() {
        let mut fits: Vec<Minimum> =
            (0..5).map(|i| fit("STAR", 1e-4 * f64::from(i), 1000.0 + 50.0 * f64::from(i), 0)).collect();
        fits.push(fit("GALAXY", 0.0002, 1120.0, 0));
        let ranked = rank(fits, 5000, 3);
        assert_eq!(ranked.len(), 4);
        // 30 and 60 km/s are too close, the galaxy at 60 km/s too
        assert_eq!(ranked[0].deltachi2, 0.0);
    }

    #[test]
    fn few_pixels_are_told() {
        let ranked = rank(vec![fit("GALAXY", 0.5, 3.0, 0)], 3, 3);
        assert_eq!(ranked[0].minimum.zwarn, zwarn::LITTLE_COVERAGE);
        assert!(rank(vec![], 0, 3).is_empty());
    }
}
