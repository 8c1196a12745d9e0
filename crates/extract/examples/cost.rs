//! Where the time of an extraction goes: `cost PIX PSF [BUNDLE]` times each stage of one bundle on one thread, and counts
//! its floating-point operations (a fused multiply-add is two).

use datamodel::{GaussHermitePsf, Image};
use extract::solve::System;
use extract::{
    Grid, Pixels, WAVE_PAD, decorrelate, grid::sub_bundles, normal::Normal, projection::Projection, quality,
};
use numerics::lanes::LANES;
use psf::Psf;
use std::{error::Error, path::Path, time::Instant};

/// Seconds and operations of the stages.
#[derive(Default)]
struct Ledger(Vec<(&'static str, f64, f64)>);

impl Ledger {
    /// Runs a stage; its result says how many operations it took.
    fn run<T>(&mut self, name: &'static str, stage: impl FnOnce() -> T, flops: impl FnOnce(&T) -> f64) -> T {
        let start = Instant::now();
        let result = stage();
        let (seconds, flops) = (start.elapsed().as_secs_f64(), flops(&result));
        match self.0.iter_mut().find(|row| row.0 == name) {
            Some(row) => (row.1, row.2) = (row.1 + seconds, row.2 + flops),
            None => self.0.push((name, seconds, flops)),
        }
        result
    }

    fn print(&self) {
        let (seconds, flops) = self.0.iter().fold((0.0, 0.0), |(s, f), row| (s + row.1, f + row.2));
        for (name, s, f) in self.0.iter().chain([&("all", seconds, flops)]) {
            println!(
                "    {name:32} {:7.1} ms {:4.0} % {:8.1} MFLOP {:6.1} GFLOP/s",
                s * 1e3,
                s / seconds * 100.0,
                f / 1e6,
                f / s / 1e9
            );
        }
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pix, psf, rest @ ..] = &arguments[..] else { return Err("cost PIX PSF [BUNDLE]".into()) };
    let image = Image::read(Path::new(pix))?;
    let (first, last, step) = image.camera().ok_or("no CAMERA")?.band.extraction_grid();
    let grid = Grid::new(first, last, step).ok_or("no grid")?.padded(WAVE_PAD);
    let psf = Psf::new(GaussHermitePsf::read(Path::new(psf))?)?;
    let pixels = Pixels::new(image.pix, image.ivar, &image.mask);
    let bundle: usize = rest.first().map_or(Ok(0), |b| b.parse())?;
    rayon::ThreadPoolBuilder::new().num_threads(1).build()?.install(|| stages(&psf, &pixels, &grid, bundle))
}

fn stages(psf: &Psf, pixels: &Pixels, grid: &Grid, bundle: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut ledger = Ledger::default();
    let fibers = 25 * bundle..(25 * bundle + 25).min(psf.nfiber());
    let ((nx, ny), (mx, my)) = (psf.box_size(), (psf.file().ghdeg.0 + 1, psf.file().ghdeg.1 + 1));
    let (spots, area) = ((fibers.len() * grid.n) as f64, (nx * ny) as f64);
    let ndiag = ny;
    // the first one pays for its memory, which later bundles use again
    let memory = Projection::new(psf, fibers.clone(), grid, pixels.shape()).into_memory();
    let a = ledger.run(
        "spots",
        || Projection::in_memory_of(memory, psf, fibers.clone(), grid, pixels.shape()),
        |_| spots * (2.0 * (mx * my * nx) as f64 + 2.0 * my as f64 * area + 60.0 * (nx + ny + 2) as f64),
    );
    let normal =
        ledger.run("products of spots", || Normal::new(&a, pixels), |n| spots * area + n.multiplications(&a) * 2.0);
    let mut solutions = Vec::new();
    for sub in sub_bundles(0..fibers.len(), 5) {
        let core = sub.core.start - sub.extended.start..sub.core.end - sub.extended.start;
        let system = ledger.run(
            "factor and solve",
            || System::new(&normal, sub.extended.clone(), 0.0),
            |s| {
                s.as_ref()
                    .map_or(0.0, |s| (s.m * s.nwave) as f64 * (s.inverse_covariance.half_bandwidth() as f64).powi(2))
            },
        )?;
        let (n, kd) = ((system.m * system.nwave) as f64, system.inverse_covariance.half_bandwidth() as f64);
        let inverses = ledger.run(
            "covariances and their inverses",
            || decorrelate::own_inverses(&system, core.clone(), normal.half, ndiag),
            |i| {
                i.iter()
                    .flatten()
                    .map(|i| 2.0 * n * kd * (i.reach * system.m) as f64 + squares(&i.matrices, 1.0 / 3.0))
                    .sum()
            },
        )?;
        for inverse in &inverses {
            let terms = inverse.root().terms() as f64;
            // a factor, a selected inverse, two solves
            ledger.run(
                "roots",
                || decorrelate::whiten(&system, inverse, ndiag),
                |_| terms * squares(&inverse.matrices, 3.0),
            )?;
        }
        let m = system.m;
        solutions.extend(core.map(|g| system.solution.iter().skip(g).step_by(m).copied().collect::<Vec<f64>>()));
    }
    let fluxes: Vec<&[f64]> = solutions.iter().map(Vec::as_slice).collect();
    let window = ledger.run("model", || quality::model(&a, &fluxes, pixels.shape().0), |_| 2.0 * spots * area);
    ledger.run("chi2pix", || quality::chi2pix(&a, pixels, &window, extract::PSF_ERROR), |_| 3.0 * spots * area);
    println!("    bundle {bundle}, one thread:");
    ledger.print();
    Ok(())
}

/// `factor` times the sum of the squares of the rows' lengths, in all lanes.
fn squares(matrices: &numerics::BandLanes, factor: f64) -> f64 {
    (0..matrices.order()).map(|i| (matrices.row(i).len() as f64).powi(2)).sum::<f64>() * factor * LANES as f64
}
