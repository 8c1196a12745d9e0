//! `desi_sky`: the sky that each fibre of an exposure sees.

use datamodel::{Fiberflat, Frame};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
struct Args {
    /// Extracted frame (frame-CAMERA-EXPID.fits)
    #[arg(short, long)]
    infile: PathBuf,
    /// Fibre flat (fiberflat-CAMERA-EXPID.fits)
    #[arg(long)]
    fiberflat: PathBuf,
    /// Sky model to write (sky-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
    /// Do not adjust throughput, wavelength and line width of the fibres on the sky lines
    #[arg(long)]
    no_adjust: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_sky", run)
}

fn run(args: Args) -> step::Result {
    let mut frame = Frame::read(&args.infile)?;
    let flat = Fiberflat::read(&args.fiberflat)?;
    calibrate::check((&args.infile, &frame), (&args.fiberflat, &flat))?;
    calibrate::divide_by_fiberflat(&mut frame, &flat);
    let params = sky::Params { adjust: !args.no_adjust, ..Default::default() };
    let mut sky = sky::run(&frame, &params).map_err(|e| step::Error::data(&args.infile, e))?;
    step::stamp(&mut sky.header);
    step::record_input(&mut sky.header, "IN_FRAME", &args.infile);
    step::record_input(&mut sky.header, "FIBERFLT", &args.fiberflat);
    sky.write(&args.outfile)?;
    Ok(vec![args.outfile])
}
