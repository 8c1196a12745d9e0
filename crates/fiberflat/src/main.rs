//! `desi_fiberflat`: the fibre flat of an exposure of the flat lamp, and the combination of several.

use datamodel::{Camera, Fiberflat, Frame};
use fiberflat::{Params, combine};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Fibre flat of a lamp's frame; with --average or --nightly fibre flats are combined
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// Extracted frame of the flat lamp (frame-CAMERA-EXPID.fits); with --average or --nightly fibre flats
    #[arg(short, long, num_args = 1.., required = true)]
    infile: Vec<PathBuf>,
    /// Fibre flat to write (fiberflat-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
    /// Average fibre flats of one camera, repeats of a lamp
    #[arg(long, conflicts_with = "nightly")]
    average: bool,
    /// Combine fibre flats of an arm, those of every lamp and spectrograph of the night, for one camera
    #[arg(long)]
    nightly: bool,
    /// Camera that --nightly writes [default: that of the first flat]
    #[arg(long, requires = "nightly")]
    camera: Option<Camera>,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_fiberflat", run)
}

fn run(args: Args) -> step::Result {
    let params = Params::default();
    let mut flat = match &args.infile[..] {
        _ if args.average || args.nightly => combined(&args, &params)?,
        [frame] => of_frame(frame, &params)?,
        _ => return Err(step::Error::usage("one frame makes one flat; --average or --nightly combine fibre flats")),
    };
    step::stamp(&mut flat.header);
    if let [frame] = &args.infile[..] {
        step::record_input(&mut flat.header, "IN_FRAME", frame);
    } else {
        let inputs = args.infile.iter().enumerate().take(99);
        inputs.for_each(|(k, path)| step::record_input(&mut flat.header, &format!("IN_{k:02}"), path));
    }
    flat.write(&args.outfile)?;
    Ok(vec![args.outfile])
}

fn of_frame(path: &Path, params: &Params) -> Result<Fiberflat, step::Error> {
    let frame = Frame::read(path)?;
    if let Some(flavor) = frame.header.str("FLAVOR").filter(|f| !f.trim().eq_ignore_ascii_case("flat")) {
        let message = format!("keyword FLAVOR: expected flat, found {flavor}; give an exposure of the flat lamp");
        return Err(step::Error::data(path, message));
    }
    fiberflat::run(&frame, params).map_err(|e| step::Error::data(path, e))
}

fn combined(args: &Args, params: &Params) -> Result<Fiberflat, step::Error> {
    let flats = args.infile.iter().map(|p| Fiberflat::read(p)).collect::<Result<Vec<_>, _>>()?;
    let flats: Vec<&Fiberflat> = flats.iter().collect();
    let name = |k: usize| args.infile[k].display();
    let error = |e: combine::Error| match e {
        combine::Error::Mismatch { first, second, what } => {
            step::Error::data(&args.infile[second], format!("differs from {} in its {what}", name(first)))
        }
        combine::Error::NoBin => step::Error::data(&args.infile[0], format!("and the other flats: {e}")),
        other => step::Error::usage(other),
    };
    if args.average {
        return combine::average(&flats, params).map_err(error);
    }
    let camera = args.camera.or_else(|| flats[0].camera());
    let camera = camera.ok_or_else(|| step::Error::data(&args.infile[0], "no keyword CAMERA; give --camera"))?;
    combine::nightly(&flats, camera, params).map_err(error)
}
