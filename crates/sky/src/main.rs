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
    /// Adjust nothing on the sky lines
    #[arg(long)]
    no_adjust: bool,
    /// Do not adjust the airglow over the field and the throughput of the fibres
    #[arg(long)]
    no_adjust_throughput: bool,
    /// Do not adjust the wavelengths of the fibres
    #[arg(long)]
    no_adjust_wavelength: bool,
    /// Do not adjust the line widths of the fibres
    #[arg(long)]
    no_adjust_lsf: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_sky", run)
}

fn run(args: Args) -> step::Result {
    let mut frame = Frame::read(&args.infile)?;
    let flat = Fiberflat::read(&args.fiberflat)?;
    calibrate::check((&args.infile, &frame), (&args.fiberflat, &flat))?;
    calibrate::divide_by_fiberflat(&mut frame, &flat);
    let params = sky::Params {
        adjust_throughput: !(args.no_adjust || args.no_adjust_throughput),
        adjust_wavelength: !(args.no_adjust || args.no_adjust_wavelength),
        adjust_lsf: !(args.no_adjust || args.no_adjust_lsf),
        ..Default::default()
    };
    let mut sky = sky::run(&frame, &params).map_err(|e| step::Error::data(&args.infile, e))?;
    step::stamp(&mut sky.header);
    step::record_input(&mut sky.header, "IN_FRAME", &args.infile);
    step::record_input(&mut sky.header, "FIBERFLT", &args.fiberflat);
    sky.write(&args.outfile)?;
    Ok(vec![args.outfile])
}
