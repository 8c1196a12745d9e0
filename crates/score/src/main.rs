//! `desi_score`: prints how many targets of a production have the right redshift, and writes a summary.

use datamodel::{Zbest, fits::FitsReader, zbest::Redshift};
use score::Truth;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};
use step::Error;

/// Compares the redshifts of a production with the simulator's truth
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// Folder of truth-EXPID.fits files, searched with its subfolders
    #[arg(long)]
    truth: PathBuf,
    /// Production: its bricks/NAME/zbest-NAME.fits are read
    #[arg(long)]
    production: PathBuf,
    /// Output of `desi_pipe_status all --json`, copied into the summary
    #[arg(long)]
    tasks: Option<PathBuf>,
    /// Seconds that the production took, copied into the summary
    #[arg(long)]
    seconds: Option<f64>,
    /// r magnitude that the required share refers to
    #[arg(long, default_value_t = 21.5)]
    bright: f64,
    /// Share of the bright targets that must be right, else exit 1
    #[arg(long, default_value_t = 0.9)]
    require: f64,
    /// summary.json to write
    #[arg(short, long)]
    outfile: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_score", run)
}

fn run(args: Args) -> step::Result {
    let truths = read_truths(&args.truth)?;
    if truths.is_empty() {
        return Err(datamodel::Error::Missing { path: args.truth.join("truth-EXPID.fits") }.into());
    }
    let redshifts = read_redshifts(&args.production.join("bricks"))?;
    let score = score::score(&truths, &redshifts, args.bright);
    println!("{}", score::table(&score, args.bright));

    let mut summary = json!({
        "classes": score.classes,
        "bright": { "limit_r": args.bright, "n": score.bright.0, "right": score.bright.1 },
        "seconds": args.seconds,
    });
    if let Some(path) = &args.tasks {
        summary["tasks"] = read_json(path)?;
    }
    write_json(&args.outfile, &summary)?;

    if score.bright_fraction() < args.require {
        let (n, right) = score.bright;
        let reason =
            format!("{right} of {n} targets brighter than r = {} are right, fewer than {}", args.bright, args.require);
        return Err(Error::data(&args.production, reason));
    }
    Ok(vec![args.outfile])
}

/// The targets of all truth files, each once; sky fibres have no redshift to score.
fn read_truths(folder: &Path) -> Result<Vec<Truth>, Error> {
    let mut truths = BTreeMap::new();
    for path in fits_files(folder, "truth-") {
        let table = FitsReader::open(&path)?.table("TRUTH")?;
        let missing = |column: &str| Error::data(&path, format!("HDU TRUTH has no column {column}"));
        let ids = table.ints("TARGETID").ok_or_else(|| missing("TARGETID"))?;
        let classes = table.strings("TRUETYPE").ok_or_else(|| missing("TRUETYPE"))?;
        let z = table.floats("TRUEZ").ok_or_else(|| missing("TRUEZ"))?;
        let mags = table.floats("MAG_R").ok_or_else(|| missing("MAG_R"))?;
        for (i, class) in classes.iter().map(|c| c.trim()).enumerate() {
            if ["GALAXY", "QSO", "STAR"].contains(&class) {
                truths.insert(ids[i], Truth { targetid: ids[i], class: class.to_string(), z: z[i], mag_r: mags[i] });
            }
        }
    }
    Ok(truths.into_values().collect())
}

fn read_redshifts(bricks: &Path) -> Result<BTreeMap<i64, Redshift>, Error> {
    let mut redshifts = BTreeMap::new();
    for path in fits_files(bricks, "zbest-") {
        redshifts.extend(Zbest::read(&path)?.redshifts.into_iter().map(|r| (r.targetid, r)));
    }
    Ok(redshifts)
}

fn fits_files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_file())
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(prefix) && n.ends_with(".fits")))
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn read_json(path: &Path) -> Result<Value, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| io(path, "read", e))?;
    serde_json::from_str(&text).map_err(|e| Error::data(path, format!("not valid JSON: {e}")))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    let temporary = path.with_extension("json.tmp");
    std::fs::write(&temporary, format!("{value:#}\n")).map_err(|e| io(path, "write", e))?;
    std::fs::rename(&temporary, path).map_err(|e| io(path, "rename", e))
}

fn io(path: &Path, action: &'static str, source: std::io::Error) -> Error {
    datamodel::Error::Io { path: path.to_path_buf(), action, source }.into()
}
