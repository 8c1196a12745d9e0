//! `desi_preproc`: one camera of a raw exposure to an image in electrons.

use datamodel::{Camera, Fibermap, RawExposure, fits::FitsReader};
use ndarray::Array2;
use preproc::{Calibration, CosmicParams};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use step::Error;

/// Fibres of a spectrograph: FIBER / 500 is its number.
const FIBERS: i32 = 500;

#[derive(clap::Args)]
struct Args {
    /// Raw exposure (desi-EXPID.fits.fz)
    #[arg(short, long)]
    infile: PathBuf,
    /// Camera to preprocess: b0 to z9
    #[arg(short, long)]
    camera: Camera,
    /// Fibermap of the exposure; the rows of the spectrograph go into the image
    #[arg(long)]
    fibermap: Option<PathBuf>,
    /// Image to write (pix-CAMERA-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
    /// Bias image in ADU, of the raw size (HDU 0)
    #[arg(long)]
    bias: Option<PathBuf>,
    /// Dark image in electrons per second, trimmed (HDU 0)
    #[arg(long)]
    dark: Option<PathBuf>,
    /// Pixel flat, trimmed (HDU 0)
    #[arg(long)]
    pixflat: Option<PathBuf>,
    /// Mask of known bad pixels, trimmed (HDU MASK, else HDU 0)
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Leave cosmic rays alone
    #[arg(long)]
    nocosmic: bool,
    /// Significance of a cosmic ray's pixel, sigma
    #[arg(long, default_value_t = CosmicParams::default().nsig)]
    cosmics_nsig: f64,
    /// Sigmas that the noise is given in the comparison with the PSF
    #[arg(long, default_value_t = CosmicParams::default().cfudge)]
    cosmics_cfudge: f64,
    /// Factor on the sharpness of the PSF
    #[arg(long, default_value_t = CosmicParams::default().c2fudge)]
    cosmics_c2fudge: f64,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_preproc", run)
}

fn run(args: Args) -> step::Result {
    let raw = RawExposure::read_camera(&args.infile, args.camera)?;
    let calibration = Calibration {
        bias: args.bias.as_deref().map(read_plane).transpose()?,
        dark: args.dark.as_deref().map(read_plane).transpose()?,
        pixflat: args.pixflat.as_deref().map(read_plane).transpose()?,
        mask: args.mask.as_deref().map(read_mask).transpose()?,
    };
    let fibermap = args.fibermap.as_deref().map(|path| rows_of(path, args.camera)).transpose()?;

    let params = CosmicParams {
        nsig: args.cosmics_nsig,
        cfudge: args.cosmics_cfudge,
        c2fudge: args.cosmics_c2fudge,
        ..Default::default()
    };
    let cosmics = (!args.nocosmic).then_some(&params);
    let mut image = preproc::run(&raw, args.camera, &calibration, cosmics).map_err(|e| Error::data(&args.infile, e))?;

    image.fibermap = fibermap;
    step::stamp(&mut image.header);
    step::record_input(&mut image.header, "IN_RAW", &args.infile);
    image.write(&args.outfile)?;
    Ok(vec![args.outfile])
}

fn read_plane(path: &Path) -> datamodel::Result<Array2<f32>> {
    FitsReader::open(path)?.plane("0")
}

fn read_mask(path: &Path) -> datamodel::Result<Array2<u32>> {
    let mut fits = FitsReader::open(path)?;
    let hdu = if fits.has("MASK") { "MASK" } else { "0" };
    fits.mask(hdu)
}

/// The rows of the camera's spectrograph.
fn rows_of(path: &Path, camera: Camera) -> datamodel::Result<Fibermap> {
    let fibermap = Fibermap::read(path)?;
    let here = |fiber: &i32| fiber / FIBERS == i32::from(camera.spectrograph);
    let rows: Vec<usize> = fibermap.fibers().iter().enumerate().filter(|(_, f)| here(f)).map(|(i, _)| i).collect();
    Ok(fibermap.select(&rows))
}
