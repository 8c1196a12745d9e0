//! `desi_zfind`: redshifts and classes of the targets of a brick, or of any spectra.

mod plotting;

use datamodel::Header;
use rayon::prelude::*;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use zfind::{
    archetype::Archetypes,
    details,
    finder::{Answer, Finder},
    input::Inputs,
    output, prior,
};

/// Fit templates to spectra: redshift, class, warnings
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Brick, spectra-, coadd- or SDSS spec- and spPlate files; spectra of one TARGETID are coadded
    #[arg(long, alias = "infile", short = 'i', num_args = 1.., value_name = "FILE", required_unless_present = "brick")]
    infiles: Vec<PathBuf>,
    /// Redshift file to write
    #[arg(long, short = 'o', value_name = "ZBEST", required_unless_present = "brick")]
    outfile: Option<PathBuf>,
    /// Instead of both: this brick of the production $DESI_SPECTRO_REDUX/$SPECPROD
    #[arg(long, short = 'b', value_name = "NAME", conflicts_with = "infiles")]
    brick: Option<String>,
    /// Template files or folders of them [default: $RR_TEMPLATE_DIR, else the built-in set]
    #[arg(long, short = 't', num_args = 1.., value_name = "PATH")]
    templates: Vec<PathBuf>,
    /// Also write the chi2 scans and all minima
    #[arg(long, value_name = "DETAILS")]
    details: Option<PathBuf>,
    /// Minima of chi2 to fit for each class [default: 3, with archetypes 9]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    nminima: Option<u16>,
    /// Only these targets
    #[arg(long, value_delimiter = ',', value_name = "ID", allow_negative_numbers = true)]
    targetids: Vec<i64>,
    /// Sigmas from which on a bin that differs from those of a target's other exposures, three or more, is left out (0: none)
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    cosmics_nsig: f64,
    /// Priors on redshifts: HDU PRIORS with TARGETID, FUNCTION (gaussian, lorentzien, tophat), Z, SIGMA
    #[arg(long, value_name = "FILE")]
    priors: Option<PathBuf>,
    /// Archetypes that have the last word: a folder of rrarchetype-*.fits, or one of them
    #[arg(long, value_name = "DIR")]
    archetypes: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    Plot(plotting::Args),
}

fn main() -> ExitCode {
    step::main::<Args>("desi_zfind", |args| match args.command {
        Some(Command::Plot(plot)) => plotting::run(plot),
        None => run(args),
    })
}

fn run(args: Args) -> step::Result {
    let (infiles, outfile) = files(&args)?;
    let priors = args.priors.as_deref().map(prior::read).transpose()?.unwrap_or_default();
    let archetypes = args.archetypes.as_deref().map(Archetypes::load).transpose()?;
    let (templates, inputs) =
        rayon::join(|| read_templates(&args.templates), || Inputs::read(&infiles, &args.targetids));
    let (templates, inputs) = (templates?, Inputs { cosmics_nsig: args.cosmics_nsig, ..inputs? });
    if inputs.targets.is_empty() {
        let what = if args.targetids.is_empty() { "it holds no spectrum" } else { "it holds none of the --targetids" };
        return Err(step::Error::data(&infiles[0], what));
    }
    let absent: Vec<_> = args.targetids.iter().filter(|id| inputs.targets.iter().all(|t| t.id != **id)).collect();
    if !absent.is_empty() {
        log::warn!("--targetids: {absent:?} are in none of the files");
    }
    let nminima = args.nminima.unwrap_or(if archetypes.is_some() { 9 } else { 3 });
    let finder = Finder::new(templates, inputs.range(), usize::from(nminima), args.details.is_some())
        .with_archetypes(archetypes.unwrap_or_default())
        .prepared_for(&inputs.target(&inputs.targets[0]));
    log::info!("{} targets, {} templates", inputs.targets.len(), finder.bases().len());
    warn_of_uncovered(&finder, inputs.range());
    let bar = step::progress_bar(inputs.targets.len() as u64, "targets");
    let answers: Vec<Answer> = inputs
        .targets
        .par_iter()
        .map(|entry| {
            let answer = finder.run(inputs.target(entry), priors.get(&entry.id));
            bar.inc(1);
            answer
        })
        .collect();
    bar.finish_and_clear();
    let mut header = Header::new();
    infiles.iter().take(100).enumerate().for_each(|(i, p)| step::record_input(&mut header, &format!("INFIL{i:03}"), p));
    step::stamp(&mut header);
    let zbest = output::zbest(&inputs, &finder, &answers, header);
    let mut written = vec![outfile.clone()];
    if let Some(path) = args.details {
        details::write(&path, &inputs, &finder, &answers)?;
        written.push(path);
    }
    zbest.write(&outfile)?;
    let doubtful = zbest.redshifts.iter().filter(|r| r.zwarn != 0).count();
    log::info!("{} redshifts, {doubtful} of them with a warning", zbest.redshifts.len());
    Ok(written)
}

/// Input and output files, from the options or the production.
fn files(args: &Args) -> Result<(Vec<PathBuf>, PathBuf), step::Error> {
    let Some(brick) = &args.brick else {
        let outfile = args.outfile.clone().ok_or_else(|| step::Error::usage("--outfile is missing"))?;
        return Ok((args.infiles.clone(), outfile));
    };
    let variable = |name: &str| {
        std::env::var_os(name).filter(|v| !v.is_empty()).ok_or_else(|| {
            step::Error::usage(format!(
                "--brick needs ${name}: source the production's setup.sh, or give --infiles and --outfile"
            ))
        })
    };
    let folder = PathBuf::from(variable("DESI_SPECTRO_REDUX")?).join(variable("SPECPROD")?).join("bricks").join(brick);
    let outfile = args.outfile.clone().unwrap_or_else(|| folder.join(format!("zbest-{brick}.fits")));
    Ok((brick_files(&folder, brick), outfile))
}

/// The file of a brick, or where there is none those of its arms, as in productions of 2016.
fn brick_files(folder: &Path, brick: &str) -> Vec<PathBuf> {
    let whole = folder.join(format!("brick-{brick}.fits"));
    let arms = ["b", "r", "z"].map(|arm| folder.join(format!("brick-{arm}-{brick}.fits")));
    let arms: Vec<PathBuf> = arms.into_iter().filter(|f| f.exists()).collect();
    if whole.exists() || arms.is_empty() { vec![whole] } else { arms }
}

fn read_templates(paths: &[PathBuf]) -> Result<Vec<templates::Template>, step::Error> {
    let environment = std::env::var_os("RR_TEMPLATE_DIR").filter(|v| !v.is_empty()).map(PathBuf::from);
    match (paths, environment) {
        ([], None) => Ok(templates::builtin()),
        ([], Some(folder)) => Ok(templates::load(&[folder])?),
        (paths, _) => Ok(templates::load(paths)?),
    }
}

/// Data that a template does not reach are not used; that should be no more than the ends of SDSS spectra.
fn warn_of_uncovered(finder: &Finder, range: (f64, f64)) {
    let (low, high) = finder.coverage();
    if range.0 < low || range.1 > high {
        log::info!(
            "of the data's {:.0}-{:.0} Angstrom all templates span {low:.0}-{high:.0}: the rest is not used",
            range.0,
            range.1
        );
    }
}
