//! `desi_procexp`: applies fibre flat, sky and flux calibration to a frame.

use datamodel::{Fiberflat, FluxCalib, Frame, Sky};
use procexp::Calibrations;
use std::{path::Path, path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
struct Args {
    /// Extracted frame (frame-CAMERA-EXPID.fits)
    #[arg(short, long)]
    infile: PathBuf,
    /// Fibre flat to divide by
    #[arg(long)]
    fiberflat: Option<PathBuf>,
    /// Sky to subtract
    #[arg(long)]
    sky: Option<PathBuf>,
    /// Flux calibration to divide by
    #[arg(long)]
    calib: Option<PathBuf>,
    /// Calibrated frame to write (cframe-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
    /// Sky-subtracted frame before the flux calibration to write too (sframe-CAMERA-EXPID.fits)
    #[arg(long, requires = "sky")]
    sframe: Option<PathBuf>,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_procexp", run)
}

fn run(args: Args) -> step::Result {
    let fiberflat = args.fiberflat.as_deref().map(Fiberflat::read).transpose()?;
    let sky = args.sky.as_deref().map(Sky::read).transpose()?;
    let calib = args.calib.as_deref().map(FluxCalib::read).transpose()?;
    let calibrations = Calibrations { fiberflat: fiberflat.as_ref(), sky: sky.as_ref(), calib: calib.as_ref() };
    calibrations.validate().map_err(step::Error::usage)?;
    let frame = Frame::read(&args.infile)?;
    calibrate::check_targets(&args.infile, &frame)?;
    check(&args, &frame, &calibrations)?;
    let mut frame = procexp::sky_subtracted(frame, calibrations);
    step::stamp(&mut frame.header);
    let inputs = [
        ("IN_FRAME", Some(&args.infile)),
        ("FIBERFLT", args.fiberflat.as_ref()),
        ("IN_SKY", args.sky.as_ref()),
        ("IN_CALIB", args.calib.as_ref()),
    ];
    for (key, path) in inputs {
        path.into_iter().for_each(|p| step::record_input(&mut frame.header, key, p));
    }
    args.sframe.iter().try_for_each(|path| frame.write(path))?;
    procexp::calibrated(frame, calibrations).write(&args.outfile)?;
    Ok(args.sframe.into_iter().chain([args.outfile]).collect())
}

/// That every calibration is one of this frame's camera.
fn check(args: &Args, frame: &Frame, calibrations: &Calibrations) -> datamodel::Result<()> {
    let of_frame = (args.infile.as_path(), frame);
    let path = |p: &'_ Option<PathBuf>| p.clone().unwrap_or_default();
    let (flat, sky, calib): (&Path, &Path, &Path) = (&path(&args.fiberflat), &path(&args.sky), &path(&args.calib));
    calibrations.fiberflat.map_or(Ok(()), |p| calibrate::check(of_frame, (flat, p)))?;
    calibrations.sky.map_or(Ok(()), |p| calibrate::check(of_frame, (sky, p)))?;
    calibrations.calib.map_or(Ok(()), |p| calibrate::check(of_frame, (calib, p)))
}
