//! Agreement with redrock's answers, and with the surveys' classes and redshifts of real spectra.

#![allow(clippy::unwrap_used)]

mod common;

use datamodel::Zbest;

/// 40 simulated three-arm spectra that redrock has fitted with the same templates: same class, warnings and number of
/// bins, |dz| < 0.2 ZERR, chi2 within 1e-4, coefficients within 1e-3 of the largest, DELTACHI2 within 1%.
#[test]
fn simulated_spectra_get_redrocks_answer() {
    let (Some(templates), Some(spectra)) = (common::redrock_templates(), common::shared("redshift/spectra-sim.fits"))
    else {
        return;
    };
    let peer = Zbest::read(&common::shared("redshift/redrock-sim.fits").unwrap()).unwrap();
    let (inputs, finder, answers) = common::fit(&[spectra], templates);
    assert_eq!(inputs.targets.len(), peer.redshifts.len());
    for ((target, answer), r) in inputs.targets.iter().zip(&answers).zip(&peer.redshifts) {
        let best = &answer.ranked[0];
        let (m, template) = (&best.minimum, &finder.bases()[best.minimum.template].template);
        let what = format!("{}: ours {best:?}, redrock's {r:?}", r.targetid);
        assert_eq!(target.id, r.targetid);
        assert_eq!((m.spectype.as_str(), template.subtype.as_str()), (r.spectype.trim(), r.subtype.trim()), "{what}");
        assert_eq!((m.zwarn, answer.npixels as i64), (r.zwarn, r.npixels), "{what}");
        assert!((m.z - r.z).abs() < 0.2 * r.zerr, "{what}");
        assert!((m.zerr - r.zerr).abs() < 1e-3 * r.zerr, "{what}");
        assert!((m.chi2 - r.chi2).abs() < 1e-4 * r.chi2, "{what}");
        assert!((best.deltachi2 - r.deltachi2).abs() < 0.01 * r.deltachi2, "{what}");
        let largest = r.coeff.iter().fold(0.0f64, |l, c| l.max(c.abs()));
        assert!(m.coeff.iter().zip(&r.coeff).all(|(a, b)| (a - b).abs() < 1e-3 * largest), "{what}");
    }
}

/// Of the eBOSS spectra with ZWARNING 0, redrock (rrboss, same templates) gets 66 of 80 galaxies, 36 of 36 quasars and
/// 10 of 11 stars right.
#[test]
fn sdss_spectra_get_the_surveys_answer_as_often_as_from_redrock() {
    let Some(templates) = common::redrock_templates() else { return };
    let Some((right, total)) = score(templates) else { return };
    assert_eq!(total, [80, 36, 11]);
    assert!(right[0] >= 66 && right[1] >= 36 && right[2] >= 10, "{right:?} of {total:?}");
}

/// The built-in templates get at least 80% of what redrock's get right.
#[test]
fn builtin_templates_find_most_sdss_redshifts() {
    let Some((right, total)) = score(templates::builtin()) else { return };
    eprintln!("built-in templates: {right:?} of {total:?} galaxies, quasars, stars");
    assert!(right[0] >= 53 && right[1] >= 29 && right[2] >= 8, "{right:?} of {total:?}");
}

/// Right answers and spectra, of galaxies, quasars and stars.
fn score(templates: Vec<templates::Template>) -> Option<([usize; 3], [usize; 3])> {
    let truth = common::sdss_truth()?;
    let files: Vec<_> = truth.iter().map(|t| t.0.clone()).collect();
    let (_, _, answers) = common::fit(&files, templates);
    let (mut right, mut total) = ([0; 3], [0; 3]);
    for ((file, class, z), answer) in truth.iter().zip(&answers) {
        let k = ["GALAXY", "QSO", "STAR"].iter().position(|c| c == class)?;
        total[k] += 1;
        right[k] += usize::from(common::is_right(answer, class, *z));
        if !common::is_right(answer, class, *z) {
            let best = answer.ranked.first().map(|r| (&r.minimum.spectype, r.minimum.z, r.minimum.zwarn));
            eprintln!("{}: {class} at {z:.4}, found {best:?}", file.display());
        }
    }
    Some((right, total))
}
