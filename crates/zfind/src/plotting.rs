//! `desi_zfind plot`: the figure of one target.

use datamodel::Zbest;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};
use zfind::{archetype::Archetypes, details, finder::Finder, input::Inputs, plot::Figure, rebuild::rebuild};

/// Draw one target: spectrum, best model, lines, and chi2 against redshift
#[derive(clap::Args)]
pub struct Args {
    /// Redshift file
    #[arg(value_name = "ZBEST")]
    zbest: PathBuf,
    /// The spectra that it was made from, any that the fit reads
    #[arg(value_name = "SPECTRA", required = true)]
    spectra: Vec<PathBuf>,
    /// The target
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    targetid: i64,
    /// SVG file to write
    #[arg(long, short = 'o', value_name = "SVG")]
    outfile: PathBuf,
    /// chi2 scan and minima from this file of the fit's --details, not made anew
    #[arg(long, value_name = "DETAILS")]
    details: Option<PathBuf>,
    /// The fit's template files or folders of them [default: $RR_TEMPLATE_DIR, else the built-in set]
    #[arg(long, short = 't', num_args = 1.., value_name = "PATH")]
    templates: Vec<PathBuf>,
    /// The fit's --cosmics-nsig
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    cosmics_nsig: f64,
    /// The fit's archetypes
    #[arg(long, value_name = "DIR")]
    archetypes: Option<PathBuf>,
}

/// Minima of each class that are fitted for the figure.
const MINIMA: usize = 3;

pub fn run(args: Args) -> step::Result {
    let absent = |path: &Path| step::Error::data(path, format!("it does not hold target {}", args.targetid));
    let zbest = Zbest::read(&args.zbest)?;
    let row = zbest.redshifts.iter().position(|r| r.targetid == args.targetid).ok_or_else(|| absent(&args.zbest))?;
    let inputs = Inputs { cosmics_nsig: args.cosmics_nsig, ..Inputs::read(&args.spectra, &[args.targetid])? };
    let entry = inputs.targets.first().ok_or_else(|| absent(&args.spectra[0]))?;
    let archetypes = args.archetypes.as_deref().map(Archetypes::load).transpose()?.unwrap_or_default();
    let finder =
        Finder::new(crate::read_templates(&args.templates)?, inputs.range(), MINIMA, true).with_archetypes(archetypes);
    let target = inputs.target(entry);
    let (scans, minima) = match &args.details {
        Some(path) => details::read(path, args.targetid)?.ok_or_else(|| absent(path))?,
        None => details::of_answer(&finder, &finder.run(target.clone(), None)),
    };
    let mut used = target.clone();
    used.channels.iter_mut().for_each(|c| c.clean(finder.coverage()));
    let model = rebuild(&finder, &zbest, row, &used).map_err(|e| step::Error::data(&args.zbest, e))?;
    let redshift = &zbest.redshifts[row];
    let figure = Figure { redshift, target: &target, model: model.channels, remark: model.remark, scans, minima };
    write(&args.outfile, &figure.svg())?;
    Ok(vec![args.outfile])
}

/// Writes a text atomically: beside its place, synced, renamed.
fn write(path: &Path, text: &str) -> Result<(), datamodel::Error> {
    let fail = |action| move |source| datamodel::Error::Io { path: path.to_path_buf(), action, source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail("create the folder of"))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    let done = written.map_err(fail("write")).and_then(|()| fs::rename(&temporary, path).map_err(fail("rename")));
    if done.is_err() {
        // what is left of it is of no use; the error is the one that is reported
        _ = fs::remove_file(&temporary);
    }
    done
}
