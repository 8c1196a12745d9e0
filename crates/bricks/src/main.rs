//! `desi_bricks`: calibrated spectra grouped by brick or by HEALPix pixel.

use bricks::{Group, Grouping, Part};
use datamodel::{Fibermap, Frame, Spectra};
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};
use step::Error;

/// Groups calibrated spectra by brick or by pixel of the sky: one group into a file, or all of them into a folder
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// The group: name of a brick (BRICKNAME of the fibermap), or number of a pixel
    #[arg(long, requires = "outfile", required_unless_present = "outdir")]
    brick: Option<String>,
    /// By brick, or by HEALPix pixel (nside 64, nested)
    #[arg(long, value_enum, default_value_t)]
    group: Grouping,
    /// Calibrated frames, any arms, spectrographs, exposures and nights (cframe-CAMERA-EXPID.fits)
    #[arg(long, num_args = 1.., required = true)]
    infiles: Vec<PathBuf>,
    /// Spectra of the group to write (brick-NAME.fits)
    #[arg(short, long, requires = "brick")]
    outfile: Option<PathBuf>,
    /// Folder to write all groups of the frames into: NAME/brick-NAME.fits, or PIXEL/100/PIXEL/spectra-PIXEL.fits
    #[arg(long, conflicts_with_all = ["brick", "outfile"])]
    outdir: Option<PathBuf>,
    /// Keep the exposures that an output has already and add these; without it an output is made of the frames alone
    #[arg(long)]
    update: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_bricks", run)
}

fn run(args: Args) -> step::Result {
    let mut paths = args.infiles.clone();
    paths.sort();
    paths.dedup();
    if let (Some(name), Some(outfile)) = (&args.brick, &args.outfile) {
        let group = args.group.named(name).map_err(|e| Error::data(outfile, e))?;
        write_group(&group, &paths, outfile, args.update)?;
        return Ok(vec![outfile.clone()]);
    }
    let folder = args.outdir.unwrap_or_default();
    let mut written = vec![];
    for (group, paths) in groups(args.group, &paths)? {
        let outfile = folder.join(group.path());
        write_group(&group, &paths, &outfile, args.update)?;
        written.push(outfile);
    }
    match written.is_empty() {
        true => Err(Error::data(&paths[0], format!("no fibre of {} frames is of any group", paths.len()))),
        false => Ok(written),
    }
}

/// The groups of the frames' fibres, each with the frames that it has spectra in.
fn groups(grouping: Grouping, paths: &[PathBuf]) -> Result<BTreeMap<Group, Vec<PathBuf>>, Error> {
    let mut groups: BTreeMap<Group, Vec<PathBuf>> = BTreeMap::new();
    for path in paths {
        let mut of_frame: Vec<Group> = grouping.of_rows(&Fibermap::read(path)?).into_iter().flatten().collect();
        of_frame.sort();
        of_frame.dedup();
        of_frame.into_iter().for_each(|group| groups.entry(group).or_default().push(path.clone()));
    }
    Ok(groups)
}

fn write_group(group: &Group, paths: &[PathBuf], outfile: &Path, update: bool) -> Result<(), Error> {
    let mut parts = paths.iter().map(|path| read_part(group, path)).collect::<Result<Vec<_>, _>>()?;
    let _claim = if update { Some(claim(outfile)?) } else { None };
    if update && outfile.exists() {
        let before = Spectra::read(outfile)?;
        parts.extend(Part::of_group(&outfile.display().to_string(), before).map_err(|e| Error::data(outfile, e))?);
    }
    let mut spectra = bricks::group(group, parts).map_err(|e| Error::data(&paths[0], e))?;
    step::stamp(&mut spectra.header);
    Ok(spectra.write(outfile)?)
}

/// The group's rows of a frame.
fn read_part(group: &Group, path: &Path) -> Result<Part, Error> {
    let frame = Frame::read_rows(path, |fibermap| group.rows(fibermap))?;
    if !frame.is_calibrated() {
        return Err(Error::data(path, "keyword BUNIT: expected calibrated flux, found counts; give cframe files"));
    }
    Part::of_frame(&path.display().to_string(), frame).map_err(|e| Error::data(path, e))
}

/// Waits until no other process updates files of the folder; released when dropped. An output is read and replaced under
/// this claim, so that of two nights grouped at once none is lost.
fn claim(outfile: &Path) -> Result<File, Error> {
    let folder = outfile.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |action| move |source| datamodel::Error::Io { path: folder.to_path_buf(), action, source };
    std::fs::create_dir_all(folder).map_err(failed("create"))?;
    let file = File::open(folder).map_err(failed("open"))?;
    file.lock().map_err(failed("lock"))?;
    Ok(file)
}
