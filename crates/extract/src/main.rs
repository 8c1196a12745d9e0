//! `desi_extract`: spectra, inverse variances and resolution matrices from an image.

mod inputs;

use datamodel::{FIBERS_PER_SPECTROGRAPH, Image, fits::FitsWriter};
use extract::{Decorrelation, ExtractError, Grid, Pixels, frame, size};
use std::{path::PathBuf, process::ExitCode};
use step::Error;

#[derive(clap::Args)]
struct Args {
    /// Preprocessed image (pix-CAMERA-EXPID.fits)
    #[arg(short, long)]
    input: PathBuf,
    /// Gauss-Hermite PSF (psfnight-CAMERA.fits)
    #[arg(short, long)]
    psf: PathBuf,
    /// Frame to write (frame-CAMERA-EXPID.fits)
    #[arg(short, long)]
    output: PathBuf,
    /// Fibermap [default: that of the image]
    #[arg(short, long)]
    fibermap: Option<PathBuf>,
    /// First and last wavelength and step, vacuum Angstrom [default: the survey's for the arm]
    #[arg(short, long, value_name = "WMIN,WMAX,DW")]
    wavelength: Option<Grid>,
    /// First fibre of the spectrograph
    #[arg(short, long, default_value_t = 0)]
    specmin: usize,
    /// Number of fibres [default: all that the PSF has]
    #[arg(short, long)]
    nspec: Option<usize>,
    /// Prior on every bin: a diagonal term that pulls fluxes to 0, electron^-1
    #[arg(short, long, default_value_t = 0.0)]
    regularize: f64,
    /// Fibres per bundle
    #[arg(long, default_value_t = 25)]
    bundlesize: usize,
    /// Parts of a bundle that are solved apart, with one neighbour at each side; 1 solves it exactly
    #[arg(long, default_value_t = 5)]
    nsubbundles: usize,
    /// Accepted for compatibility, without effect: the whole wavelength range is solved at once
    #[arg(long, value_name = "BINS")]
    nwavestep: Option<usize>,
    /// What to decorrelate: 'signal' within each fibre, 'noise' between fibres too
    #[arg(long, default_value = "signal")]
    decorrelate: Decorrelation,
    /// Term GH-0-0 of the PSF: 'one', as the fit that wrote the file meant, or 'stored' as in the file, whose left-overs
    /// other extraction programs evaluate
    #[arg(long, default_value = "one", value_parser = ["one", "stored"])]
    gh00: String,
    /// Leave out the tails of the PSF, as programs do that know none
    #[arg(long)]
    no_tails: bool,
    /// The wavelengths of the frame are those at the barycentre of the solar system (science exposures; keyword HELIOCOR
    /// is the factor)
    #[arg(long, alias = "barycentric-correction")]
    barycentric: bool,
    /// Model image to write
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Accepted for compatibility; DESI_LOGLEVEL=DEBUG says more
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_extract", run)
}

fn run(args: Args) -> step::Result {
    let (image, broken) = Image::read_masking(&args.input)?;
    let camera = image.camera().ok_or_else(|| Error::data(&args.input, "keyword CAMERA names no camera (b0 to z9)"))?;
    let psf = inputs::psf(&args, camera)?;
    let heliocor = inputs::heliocor(&args, &image.header)?;
    let grid = inputs::grid(&args, camera)?;
    let params = inputs::params(&args, &psf, grid.at_telescope(heliocor.unwrap_or(1.0)))?;
    let first = FIBERS_PER_SPECTROGRAPH * usize::from(camera.spectrograph) + args.specmin;
    let fibermap = inputs::fibermap(&args, &image, first, params.fibers.len())?;
    let pixels = Pixels::new(image.pix, image.ivar, &image.mask);
    inputs::warn(&args, &pixels, broken);
    let bad = |e: ExtractError| Error::data(&args.input, format!("{e} ({})", args.psf.display()));
    if !size::check(&psf, pixels.shape(), &params).map_err(bad)? {
        log::warn!("{}: smaller than the PSF's image, taken for a cut-out from pixel (0, 0)", args.input.display());
    }
    let progress = step::progress_bar(params.fibers.len() as u64, "fibres");
    let extraction = extract::extract(&pixels, &psf, &params, |n| progress.inc(n as u64)).map_err(bad)?;
    progress.finish_and_clear();
    let mut header = image.header;
    header.set("FIBERMIN", first, "first fibre");
    if let Some(factor) = heliocor {
        header.set("HELIOCOR", factor, "barycentric wavelength over that at the telescope");
    }
    step::stamp(&mut header);
    step::record_input(&mut header, "IN_PSF", &args.psf);
    step::record_input(&mut header, "IN_IMG", &args.input);
    let mut written = Vec::new();
    if let Some(path) = &args.model {
        let mut fits = FitsWriter::create(path)?;
        fits.image("MODEL", extraction.model.view(), &header)?;
        fits.finish()?;
        written.push(path.clone());
    }
    frame::assemble(extraction, &grid, header, fibermap, camera.band).write(&args.output)?;
    written.push(args.output);
    Ok(written)
}
