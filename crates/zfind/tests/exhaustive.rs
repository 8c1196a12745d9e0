//! The minima that the coarse scan leads to are those of an exact scan of every redshift.

#![allow(clippy::unwrap_used)]

mod common;

use rayon::prelude::*;
use zfind::{finder::Finder, input::Inputs};

/// One in this many targets is scanned exactly (1.2 CPU s each); ZFIND_EVERY=1 does all.
const EVERY: usize = 12;

#[test]
fn the_answer_is_that_of_an_exact_scan() {
    let (Some(templates), Some(simulated)) = (common::redrock_templates(), common::shared("redshift/spectra-sim.fits"))
    else {
        return;
    };
    let every = std::env::var("ZFIND_EVERY").ok().and_then(|s| s.parse().ok()).unwrap_or(EVERY);
    let real: Vec<_> = common::sdss_truth().unwrap().into_iter().map(|t| t.0).collect();
    for files in [vec![simulated], real] {
        let inputs = Inputs::read(&files, &[]).unwrap();
        let finder = Finder::new(templates.clone(), inputs.range(), 3, false);
        let targets: Vec<_> = inputs.targets.iter().step_by(every).collect();
        let differing: Vec<String> = targets
            .par_iter()
            .filter_map(|entry| {
                let quick = finder.run(inputs.target(entry), None);
                let full = finder.run_exhaustively(inputs.target(entry), None);
                let same = quick.ranked[0] == full.ranked[0];
                (!same).then(|| format!("{}: {:?} but {:?}", entry.id, quick.ranked[0], full.ranked[0]))
            })
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
    }
}
