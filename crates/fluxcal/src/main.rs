//! `desi_fluxcal`: the flux calibration of an exposure from its standard stars.

use datamodel::{Fiberflat, Frame, Sky, StdStars};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
struct Args {
    /// Extracted frame (frame-CAMERA-EXPID.fits)
    #[arg(short, long)]
    infile: PathBuf,
    /// Fibre flat (fiberflat-CAMERA-EXPID.fits)
    #[arg(long)]
    fiberflat: PathBuf,
    /// Sky model (sky-CAMERA-EXPID.fits)
    #[arg(long)]
    sky: PathBuf,
    /// Models of the standard stars (stdstars-SPECTROGRAPH-EXPID.fits)
    #[arg(long)]
    models: PathBuf,
    /// Flux calibration to write (calib-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_fluxcal", run)
}

fn run(args: Args) -> step::Result {
    let mut frame = Frame::read(&args.infile)?;
    calibrate::check_targets(&args.infile, &frame)?;
    let flat = Fiberflat::read(&args.fiberflat)?;
    let sky = Sky::read(&args.sky)?;
    let models = StdStars::read(&args.models)?;
    calibrate::check((&args.infile, &frame), (&args.fiberflat, &flat))?;
    calibrate::check((&args.infile, &frame), (&args.sky, &sky))?;
    calibrate::divide_by_fiberflat(&mut frame, &flat);
    calibrate::subtract_sky(&mut frame, &sky);
    let params = fluxcal::Params::default();
    let error = |e| step::Error::data(&args.infile, format!("with {}: {e}", args.models.display()));
    let mut calib = fluxcal::run(&frame, &models, &params).map_err(error)?;
    step::stamp(&mut calib.header);
    let inputs =
        [("IN_FRAME", &args.infile), ("FIBERFLT", &args.fiberflat), ("IN_SKY", &args.sky), ("STDMODEL", &args.models)];
    inputs.into_iter().for_each(|(key, path)| step::record_input(&mut calib.header, key, path));
    calib.write(&args.outfile)?;
    Ok(vec![args.outfile])
}
