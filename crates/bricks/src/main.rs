//! `desi_bricks`: the calibrated spectra of one brick.

use datamodel::Frame;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
struct Args {
    /// Name of the brick (BRICKNAME of the fibermap)
    #[arg(long)]
    brick: String,
    /// Calibrated frames, any arms, spectrographs, exposures and nights (cframe-CAMERA-EXPID.fits)
    #[arg(long, num_args = 1.., required = true)]
    infiles: Vec<PathBuf>,
    /// Spectra to write (brick-NAME.fits)
    #[arg(short, long)]
    outfile: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_bricks", run)
}

fn run(args: Args) -> step::Result {
    let mut paths = args.infiles.clone();
    paths.sort();
    paths.dedup();
    let mut parts = Vec::with_capacity(paths.len());
    for path in &paths {
        let frame = Frame::read(path)?;
        if !frame.is_calibrated() {
            return Err(step::Error::data(
                path,
                "keyword BUNIT: expected calibrated flux, found counts; give cframe files",
            ));
        }
        let name = path.display().to_string();
        parts.push(bricks::part(&name, &frame, &args.brick).map_err(|e| step::Error::data(path, e))?);
    }
    let mut spectra = bricks::group(&args.brick, parts).map_err(|e| step::Error::data(&paths[0], e))?;
    step::stamp(&mut spectra.header);
    spectra.write(&args.outfile)?;
    Ok(vec![args.outfile])
}
