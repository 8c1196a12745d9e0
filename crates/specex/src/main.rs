//! `desi_specex`: the Gauss-Hermite PSF of a camera from an arc, bundle by bundle.

use datamodel::{GaussHermitePsf, Image, PsfBoot};
use specex::{Outcome, Params};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
struct Args {
    /// Preprocessed arc (pix file)
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// First guess: traces of the night (psfboot file)
    #[arg(long, value_name = "FILE", required_unless_present = "in_psf", conflicts_with = "in_psf")]
    bootfile: Option<PathBuf>,
    /// First guess: a PSF file
    #[arg(long, value_name = "FILE")]
    in_psf: Option<PathBuf>,
    /// Output: the PSF
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Lamp lines: ion, vacuum wavelength, score, intensity; score 0 is not fitted [default: built in]
    #[arg(long, value_name = "FILE")]
    lamplines: Option<PathBuf>,
    /// Bundles to fit, e.g. 0-3,7 [default: all]
    #[arg(long, value_name = "LIST")]
    bundles: Option<String>,
    /// Highest order of the Gauss-Hermite terms
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=8))]
    gh_degree: u8,
    /// Degree in wavelength of the shape parameters
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=6))]
    legendre_deg_wave: u8,
    /// Degree across the bundle of the shape parameters
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=3))]
    legendre_deg_x: u8,
    /// Degree in wavelength of the traces
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=9))]
    trace_deg_wave: u8,
    /// Fit the spots' tails too: a power law of index 2 (TAILAMP)
    #[arg(long, alias = "fit-psf-tails")]
    tails: bool,
    /// Fit a smooth spectrum of every fibre under the lines (CONT, electrons per row)
    #[arg(long, alias = "fit-continuum")]
    continuum: bool,
    /// Fibres that must not be used (rows of the first guess), e.g. 12,101-103
    #[arg(long, value_name = "LIST")]
    broken_fibers: Option<String>,
    /// Say more (the level debug of DESI_LOGLEVEL)
    #[arg(long)]
    verbose: bool,
    /// Accepted for old command lines and ignored, as are the next two
    #[arg(long, hide = true, allow_hyphen_values = true)]
    extra: Option<String>,
    #[arg(long, hide = true)]
    xcoord_hdu: Option<usize>,
    #[arg(long, hide = true)]
    ycoord_hdu: Option<usize>,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_specex", run)
}

fn run(args: Args) -> step::Result {
    if args.verbose {
        log::set_max_level(log::LevelFilter::Debug);
    }
    let params = Params {
        gh_degree: args.gh_degree.into(),
        wave_degree: args.legendre_deg_wave.into(),
        slit_degree: args.legendre_deg_x.into(),
        trace_degree: args.trace_deg_wave.into(),
        tails: args.tails,
        continuum: args.continuum,
        bundles: args.bundles.as_deref().map(|l| list(l, "--bundles")).transpose()?,
        broken: args.broken_fibers.as_deref().map_or_else(|| Ok(Vec::new()), |l| list(l, "--broken-fibers"))?,
    };
    let image = Image::read(&args.input)?;
    let (first, guess_path) = first_guess(&args, &image)?;
    check_pair(&args.input, &image, guess_path, &first)?;
    let lines = args.lamplines.as_deref().map_or_else(|| Ok(psf::lamps::builtin()), psf::lamps::read)?;
    let (mut psf, outcome) =
        specex::run(&image, &first, &lines, &params).map_err(|e| step::Error::data(guess_path, e))?;
    report(&args.input, &outcome)?;
    if let Some(expid) = image.header.int("EXPID") {
        psf.header.set("ARCEXP", expid, "exposure of the arc");
    }
    step::record_input(&mut psf.header, "IN_IMAGE", &args.input);
    step::record_input(&mut psf.header, "IN_PSF", guess_path);
    step::stamp(&mut psf.header);
    psf.write(&args.output)?;
    Ok(vec![args.output])
}

/// The first guess and the file that it is from.
fn first_guess<'a>(args: &'a Args, image: &Image) -> Result<(GaussHermitePsf, &'a Path), step::Error> {
    match (&args.in_psf, &args.bootfile) {
        (Some(path), _) => Ok((GaussHermitePsf::read(path)?, path)),
        (None, Some(path)) => Ok((psf::boot::gaussian(&PsfBoot::read(path)?, image.pix.dim()), path)),
        (None, None) => Err(step::Error::usage("--bootfile or --in-psf is needed")),
    }
}

/// The image and the first guess must be of one camera, and the traces must be on the image.
fn check_pair(input: &Path, image: &Image, guess: &Path, first: &GaussHermitePsf) -> Result<(), step::Error> {
    if let (Some(a), Some(b)) = (image.camera(), first.camera())
        && a != b
    {
        return Err(step::Error::data(
            guess,
            format!("keyword CAMERA: expected {a} as in {}, found {b}", input.display()),
        ));
    }
    psf::Psf::new(first.clone()).map(|_| ()).map_err(|e| step::Error::data(guess, e))
}

/// Logs each bundle; an error if none was fitted.
fn report(input: &Path, outcome: &Outcome) -> Result<(), step::Error> {
    let mut failed = Vec::new();
    for (bundle, result) in outcome {
        match result {
            Ok(fit) => {
                let dead = fit.alive.iter().filter(|a| !**a).count();
                log::info!(
                    "bundle {bundle:02}: {} lines, {dead} dead fibres, reduced chi2 {:.3}",
                    fit.lines,
                    fit.rchi2
                );
            }
            Err(error) => {
                log::error!("{}: bundle {bundle:02}: {error}; it keeps the first guess", input.display());
                failed.push((bundle, error));
            }
        }
    }
    match failed.first() {
        Some((_, error)) if failed.len() == outcome.len() => {
            Err(step::Error::data(input, format!("no bundle could be fitted: {error}")))
        }
        Some(_) => {
            let names: Vec<String> = failed.iter().map(|(b, e)| format!("{b} ({e})")).collect();
            log::warn!("{} of {} bundles failed: {}", failed.len(), outcome.len(), names.join("; "));
            Ok(())
        }
        None if outcome.is_empty() => Err(step::Error::usage("--bundles names no bundle of the first guess")),
        None => Ok(()),
    }
}

/// Numbers and ranges: `0-3,7` is 0, 1, 2, 3, 7.
fn list(text: &str, option: &str) -> Result<Vec<usize>, step::Error> {
    let bad = || step::Error::usage(format!("{option}: expected numbers and ranges as 0-3,7, found '{text}'"));
    let number = |s: &str| s.trim().parse::<usize>().map_err(|_| bad());
    let mut all = Vec::new();
    for part in text.split(',').filter(|p| !p.trim().is_empty()) {
        match part.split_once('-') {
            Some((a, b)) => all.extend(number(a)?..=number(b)?),
            None => all.push(number(part)?),
        }
    }
    Ok(all)
}
