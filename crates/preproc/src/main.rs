//! `desi_preproc`: raw CCD frames to images in electrons with inverse variance and mask.

use datamodel::{Camera, FIBERS_PER_SPECTROGRAPH, Fibermap, Image, RawExposure, fits::FitsReader};
use preproc::{Calibration, cosmics};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use step::Error;

/// Makes the image of one camera of a raw exposure: overscan, gain, calibrations, cosmic rays, inverse variance
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// Raw exposure desi-EXPID.fits.fz
    #[arg(short, long)]
    infile: PathBuf,
    /// Camera, b0 to z9
    #[arg(long)]
    camera: Camera,
    /// Fibermap of the exposure; the rows of the camera's spectrograph are written into the image
    #[arg(long)]
    fibermap: Option<PathBuf>,
    /// Image pix-CAMERA-EXPID.fits to write
    #[arg(short, long)]
    outfile: PathBuf,
    /// Bias image in ADU, of the raw frame's shape
    #[arg(long)]
    bias: Option<PathBuf>,
    /// Dark current image in electrons per second, of the trimmed shape
    #[arg(long)]
    dark: Option<PathBuf>,
    /// Pixel flat, of the trimmed shape
    #[arg(long)]
    pixflat: Option<PathBuf>,
    /// Mask of known defects, of the trimmed shape
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Folder of calibration images bias-, dark-, pixflat- and mask-CAMERA.fits: those that are there and not given
    /// otherwise are used
    #[arg(long, value_name = "DIR")]
    calib: Option<PathBuf>,
    /// Do not look for cosmic rays
    #[arg(long)]
    nocosmic: bool,
    /// Cosmic rays: sigmas above the neighbours
    #[arg(long, default_value_t = 6.0)]
    cosmics_nsig: f64,
    /// Cosmic rays: sigmas that noise may sharpen a spot by
    #[arg(long, default_value_t = 3.0)]
    cosmics_cfudge: f64,
    /// Cosmic rays: factor on the sharpness of a spot
    #[arg(long, default_value_t = 0.5)]
    cosmics_c2fudge: f64,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_preproc", run)
}

fn run(args: Args) -> step::Result {
    let raw = RawExposure::read_camera(&args.infile, args.camera)?;
    let image_of = |given: &Option<PathBuf>, kind| given.clone().or_else(|| args.calibration_image(kind));
    let (bias, dark) = (image_of(&args.bias, "bias"), image_of(&args.dark, "dark"));
    let (pixflat, mask) = (image_of(&args.pixflat, "pixflat"), image_of(&args.mask, "mask"));
    let calibration = Calibration {
        bias: read_plane(bias.as_deref())?,
        dark: read_plane(dark.as_deref())?,
        pixflat: read_plane(pixflat.as_deref())?,
        mask: mask
            .as_deref()
            .map(|path| first_image(path).and_then(|(mut fits, hdu)| Ok(fits.mask(&hdu)?)))
            .transpose()?,
    };
    let fibermap = args.fibermap.as_deref().map(|path| petal(path, args.camera)).transpose()?;
    let cosmics = cosmics::Params {
        nsig: args.cosmics_nsig,
        cfudge: args.cosmics_cfudge,
        c2fudge: args.cosmics_c2fudge,
        ..Default::default()
    };

    let image = preproc::preprocess(&raw, args.camera.band, &calibration, (!args.nocosmic).then_some(cosmics))
        .map_err(|error| Error::data(&args.infile, format!("camera {}: {error}", args.camera)))?;

    let mut image = Image { fibermap, ..image };
    step::stamp(&mut image.header);
    let inputs = [
        ("IN_RAW", Some(&args.infile)),
        ("IN_BIAS", bias.as_ref()),
        ("IN_DARK", dark.as_ref()),
        ("IN_FLAT", pixflat.as_ref()),
        ("IN_MASK", mask.as_ref()),
    ];
    for (key, path) in inputs {
        if let Some(path) = path {
            step::record_input(&mut image.header, key, path);
        }
    }
    image.write(&args.outfile)?;
    Ok(vec![args.outfile])
}

impl Args {
    /// The camera's calibration image of a kind, if the folder of calibrations has one.
    fn calibration_image(&self, kind: &str) -> Option<PathBuf> {
        let path = self.calib.as_ref()?.join(format!("{kind}-{}.fits", self.camera));
        path.is_file().then_some(path)
    }
}

/// The rows of the camera's spectrograph.
fn petal(path: &Path, camera: Camera) -> Result<Fibermap, Error> {
    let fibermap = Fibermap::read(path)?;
    let of_petal = |fiber: &i32| fiber / FIBERS_PER_SPECTROGRAPH as i32 == i32::from(camera.spectrograph);
    let rows: Vec<usize> = fibermap.fibers().iter().enumerate().filter(|(_, f)| of_petal(f)).map(|(i, _)| i).collect();
    if rows.is_empty() {
        return Err(Error::data(path, format!("no fibre of spectrograph {} (camera {camera})", camera.spectrograph)));
    }
    Ok(fibermap.select(&rows))
}

fn read_plane(path: Option<&Path>) -> Result<Option<ndarray::Array2<f32>>, Error> {
    path.map(|path| first_image(path).and_then(|(mut fits, hdu)| Ok(fits.plane(&hdu)?))).transpose()
}

/// A file and its first HDU: calibration images are there under any name.
fn first_image(path: &Path) -> Result<(FitsReader, String), Error> {
    let fits = FitsReader::open(path)?;
    let hdu = fits.names().first().cloned().unwrap_or_default();
    Ok((fits, hdu))
}
