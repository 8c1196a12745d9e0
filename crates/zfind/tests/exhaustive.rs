//! The minima that the coarse scan leads to are those of an exact scan of every redshift.

mod common;

use rayon::prelude::*;
use zfind::{finder::Finder, input::Inputs};

#[test]
fn the_coarse_scan_misses_no_minimum_that_counts() {
    let (Some(templates), Some(simulated)) = (common::redrock_templates(), common::shared("redshift/spectra-sim.fits"))
    else {
        return;
    };
    let step: usize = std::env::var("ZF_STEP").map_or(16, |s| s.parse().unwrap());
    let mut groups = vec![vec![simulated]];
    groups.push(common::sdss_truth().unwrap().into_iter().step_by(step).map(|t| t.0).collect());
    for files in groups {
        let inputs = Inputs::read(&files, &[]).unwrap();
        let finder = Finder::new(templates.clone(), inputs.range(), 3, false);
        let few: Vec<_> = if files.len() == 1 {
            inputs.targets.iter().step_by(step).collect()
        } else {
            inputs.targets.iter().collect()
        };
        few.par_iter().for_each(|entry| {
            let quick = finder.run(inputs.target(entry), None);
            let full = finder.run_exhaustively(inputs.target(entry), None);
            for (i, (q, f)) in quick.ranked.iter().zip(&full.ranked).enumerate().take(1) {
                if q != f {
                    eprintln!(
                        "{} rank {i}: {} {:.5} {:.2} {:.2} {} | {} {:.5} {:.2} {:.2} {}",
                        entry.id,
                        q.minimum.spectype,
                        q.minimum.z,
                        q.minimum.chi2,
                        q.deltachi2,
                        q.minimum.zwarn,
                        f.minimum.spectype,
                        f.minimum.z,
                        f.minimum.chi2,
                        f.deltachi2,
                        f.minimum.zwarn
                    );
                }
            }
        });
    }
}
