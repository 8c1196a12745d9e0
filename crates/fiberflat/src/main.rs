//! `desi_fiberflat`: the fibre flat of an exposure of the flat lamp.

use datamodel::Frame;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
struct Args {
    /// Extracted frame of the flat lamp (frame-CAMERA-EXPID.fits)
    #[arg(short, long)]
    infile: PathBuf,
    /// Fibre flat to write (fiberflat-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_fiberflat", run)
}

fn run(args: Args) -> step::Result {
    let frame = Frame::read(&args.infile)?;
    if let Some(flavor) = frame.header.str("FLAVOR").filter(|f| !f.trim().eq_ignore_ascii_case("flat")) {
        let message = format!("keyword FLAVOR: expected flat, found {flavor}; give an exposure of the flat lamp");
        return Err(step::Error::data(&args.infile, message));
    }
    let params = fiberflat::Params::default();
    let mut flat = fiberflat::run(&frame, &params).map_err(|e| step::Error::data(&args.infile, e))?;
    step::stamp(&mut flat.header);
    step::record_input(&mut flat.header, "IN_FRAME", &args.infile);
    flat.write(&args.outfile)?;
    Ok(vec![args.outfile])
}
