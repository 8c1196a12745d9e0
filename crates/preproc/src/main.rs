//! `desi_preproc`: raw CCD frames to images in electrons with inverse variance and mask.

use datamodel::{Camera, FIBERS_PER_SPECTROGRAPH, Fibermap, GaussHermitePsf, Image, RawExposure, fits::FitsReader};
use preproc::{Calibration, Options, cosmics, electronics::Electronics, overscan};
use psf::Psf;
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
    /// Cross-talk and trails of the read-out electronics (TOML)
    #[arg(long)]
    electronics: Option<PathBuf>,
    /// Folder of calibrations bias-, dark-, pixflat- and mask-CAMERA.fits and electronics-CAMERA.toml: those that are
    /// there and not given otherwise are used
    #[arg(long, value_name = "DIR")]
    calib: Option<PathBuf>,
    /// Level of the overscan columns: by row where it changes by 2 ADU or more, one for the amplifier, or by row
    #[arg(long, value_enum, default_value_t)]
    overscan: overscan::Columns,
    /// Level of the overscan rows that is subtracted too
    #[arg(long, value_enum, default_value_t)]
    parallel_overscan: overscan::Rows,
    /// Subtract the scattered light seen between the bundles, where the traces of this PSF file say that they are
    #[arg(long, value_name = "PSF")]
    scattered_light: Option<PathBuf>,
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
    let of_kind = |given: &Option<PathBuf>, kind| given.clone().or_else(|| args.calibration(kind, "fits"));
    let (bias, dark) = (of_kind(&args.bias, "bias"), of_kind(&args.dark, "dark"));
    let (pixflat, mask) = (of_kind(&args.pixflat, "pixflat"), of_kind(&args.mask, "mask"));
    let electronics = args.electronics.clone().or_else(|| args.calibration("electronics", "toml"));
    let calibration = Calibration {
        bias: read_plane(bias.as_deref())?,
        dark: read_plane(dark.as_deref())?,
        pixflat: read_plane(pixflat.as_deref())?,
        mask: mask.as_deref().map(read_mask).transpose()?,
        electronics: electronics.as_deref().map(read_electronics).transpose()?.unwrap_or_default(),
        traces: args.scattered_light.as_deref().map(|path| read_psf(path, args.camera)).transpose()?,
    };
    let fibermap = args.fibermap.as_deref().map(|path| petal(path, args.camera)).transpose()?;

    let image = preproc::preprocess(&raw, args.camera.band, &calibration, &args.options())
        .map_err(|error| Error::data(&args.infile, format!("camera {}: {error}", args.camera)))?;

    let mut image = Image { fibermap, ..image };
    step::stamp(&mut image.header);
    let inputs = [
        ("IN_RAW", Some(&args.infile)),
        ("IN_BIAS", bias.as_ref()),
        ("IN_DARK", dark.as_ref()),
        ("IN_FLAT", pixflat.as_ref()),
        ("IN_MASK", mask.as_ref()),
        ("IN_ELEC", electronics.as_ref()),
        ("IN_PSF", args.scattered_light.as_ref()),
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
    /// The camera's calibration of a kind, if the folder of calibrations has one.
    fn calibration(&self, kind: &str, suffix: &str) -> Option<PathBuf> {
        let path = self.calib.as_ref()?.join(format!("{kind}-{}.{suffix}", self.camera));
        path.is_file().then_some(path)
    }

    fn options(&self) -> Options {
        let cosmics = cosmics::Params {
            nsig: self.cosmics_nsig,
            cfudge: self.cosmics_cfudge,
            c2fudge: self.cosmics_c2fudge,
            ..Default::default()
        };
        Options { columns: self.overscan, rows: self.parallel_overscan, cosmics: (!self.nocosmic).then_some(cosmics) }
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

fn read_mask(path: &Path) -> Result<ndarray::Array2<u32>, Error> {
    let (mut fits, hdu) = first_image(path)?;
    Ok(fits.mask(&hdu)?)
}

fn read_electronics(path: &Path) -> Result<Electronics, Error> {
    let path_of = || path.to_path_buf();
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => datamodel::Error::Missing { path: path_of() },
        _ => datamodel::Error::Io { path: path_of(), action: "read", source },
    })?;
    Electronics::parse(&text).map_err(|error| Error::data(path, error))
}

fn read_psf(path: &Path, camera: Camera) -> Result<Psf, Error> {
    let file = GaussHermitePsf::read(path)?;
    match file.camera() {
        Some(other) if other != camera => {
            Err(Error::data(path, format!("expected the PSF of {camera}, found {other}")))
        }
        _ => Psf::new(file).map_err(|error| Error::data(path, error)),
    }
}

/// A file and its first HDU: calibration images are there under any name.
fn first_image(path: &Path) -> Result<(FitsReader, String), Error> {
    let fits = FitsReader::open(path)?;
    let hdu = fits.names().first().cloned().unwrap_or_default();
    Ok((fits, hdu))
}
