//! A production's redshifts against the simulator's truth: per class of target how many there are, how many
//! are right, how far off they are, and how many are wrong without a warning.

use datamodel::zbest::Redshift;
use numerics::LIGHT_KMS;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is known of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// TARGETID.
    pub targetid: i64,
    /// GALAXY, QSO or STAR.
    pub class: String,
    /// True redshift.
    pub z: f64,
    /// r magnitude, AB.
    pub mag_r: f64,
}

/// The figures of one class.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ClassScore {
    /// Targets.
    pub n: usize,
    /// Targets whose redshift is right.
    pub right: usize,
    /// Median |dv| of the right ones, km/s (`null` without any).
    pub median_abs_dv: Option<f64>,
    /// Targets whose redshift is wrong although ZWARN is 0.
    pub wrong_zwarn0: usize,
}

/// The score of a production.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Score {
    /// By class, of all targets.
    pub classes: BTreeMap<String, ClassScore>,
    /// Of the targets brighter than the limit: how many, and how many are right.
    pub bright: (usize, usize),
}

impl Score {
    /// Share of the bright targets that are right; 0 without any, so that an empty production does not pass.
    pub fn bright_fraction(&self) -> f64 {
        if self.bright.0 == 0 { 0.0 } else { self.bright.1 as f64 / self.bright.0 as f64 }
    }
}

/// Velocity difference in km/s: `c (z - true) / (1 + true)`.
pub fn velocity(z: f64, truth: f64) -> f64 {
    LIGHT_KMS * (z - truth) / (1.0 + truth)
}

/// |dv| below which a redshift counts as right, km/s: broad lines locate a quasar less well.
pub fn tolerance(class: &str) -> f64 {
    if class == "QSO" { 3000.0 } else { 300.0 }
}

/// Scores each target once. One without a redshift counts as not right.
pub fn score(truths: &[Truth], redshifts: &BTreeMap<i64, Redshift>, bright_limit: f64) -> Score {
    let mut score = Score::default();
    let mut offsets: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for truth in truths {
        let class = score.classes.entry(truth.class.clone()).or_default();
        class.n += 1;
        let fit = redshifts.get(&truth.targetid);
        let offset = fit.map(|fit| velocity(fit.z, truth.z).abs());
        let right = offset.is_some_and(|dv| dv < tolerance(&truth.class));
        if right {
            class.right += 1;
            offsets.entry(truth.class.clone()).or_default().extend(offset);
        } else if fit.is_some_and(|fit| fit.zwarn == 0) {
            class.wrong_zwarn0 += 1;
        }
        if truth.mag_r < bright_limit {
            score.bright.0 += 1;
            score.bright.1 += usize::from(right);
        }
    }
    for (name, class) in &mut score.classes {
        class.median_abs_dv = offsets.get(name).and_then(|v| numerics::robust::median(v));
    }
    score
}

/// The score as a table for people.
pub fn table(score: &Score, bright_limit: f64) -> String {
    let mut lines =
        vec![format!("{:<8}{:>6}{:>8}{:>18}{:>22}", "class", "n", "right", "median |dv| km/s", "wrong though ZWARN 0")];
    for (name, c) in &score.classes {
        let dv = c.median_abs_dv.map_or("-".to_string(), |v| format!("{v:.1}"));
        lines.push(format!("{name:<8}{:>6}{:>8}{dv:>18}{:>22}", c.n, c.right, c.wrong_zwarn0));
    }
    let (n, right) = score.bright;
    lines.push(format!(
        "brighter than r = {bright_limit}: {right} of {n} right ({:.1} %)",
        100.0 * score.bright_fraction()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(targetid: i64, class: &str, z: f64, mag_r: f64) -> Truth {
        Truth { targetid, class: class.into(), z, mag_r }
    }

    fn fit(targetid: i64, z: f64, zwarn: i64) -> (i64, Redshift) {
        (targetid, Redshift { targetid, z, zwarn, ..Default::default() })
    }

    #[test]
    fn right_wrong_and_absent_are_told_apart() {
        let truths = [
            truth(1, "GALAXY", 0.5, 20.0),
            truth(2, "GALAXY", 0.5, 20.0),
            truth(3, "GALAXY", 0.5, 22.0),
            truth(4, "QSO", 2.0, 21.0),
            truth(5, "STAR", 0.0, 18.0),
        ];
        // 100 km/s off, wrong with and without a warning, 2000 km/s off a quasar; 5 is absent
        let fits = [fit(1, 0.5005, 0), fit(2, 0.7, 0), fit(3, 0.7, 4), fit(4, 2.02, 0)].into_iter().collect();
        let s = score(&truths, &fits, 21.5);
        let galaxies = &s.classes["GALAXY"];
        assert_eq!((galaxies.n, galaxies.right, galaxies.wrong_zwarn0), (3, 1, 1));
        assert!((galaxies.median_abs_dv.unwrap() - 99.93).abs() < 0.01);
        assert_eq!((s.classes["QSO"].right, s.classes["STAR"].right), (1, 0));
        assert_eq!(s.classes["STAR"].median_abs_dv, None);
        assert_eq!(s.bright, (4, 2));
        assert_eq!(score(&[], &fits, 21.5).bright_fraction(), 0.0);
    }
}
