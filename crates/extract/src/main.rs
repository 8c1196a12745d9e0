//! `desi_extract`: spectra, inverse variances and resolution matrices from an image.

use datamodel::{
    Camera, FIBERS_PER_SPECTROGRAPH, Fibermap, GaussHermitePsf, Header, Image, check_camera,
    fits::{FitsReader, FitsWriter},
};
use extract::{Decorrelation, ExtractError, Grid, Params, Pixels, barycentric, frame, size};
use ndarray::Array2;
use psf::Psf;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
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
    let image = Image::read(&args.input)?;
    let camera = image.camera().ok_or_else(|| Error::data(&args.input, "keyword CAMERA names no camera (b0 to z9)"))?;
    let psf = read_psf(&args, camera)?;
    let heliocor = heliocor(&args, &image.header)?;
    let grid = grid(&args, camera)?;
    let params = params(&args, &psf, grid.at_telescope(heliocor.unwrap_or(1.0)))?;
    let first = FIBERS_PER_SPECTROGRAPH * usize::from(camera.spectrograph) + args.specmin;
    let fibermap = fibermap(&args, &image, first, params.fibers.len())?;
    let (pixels, broken) = Pixels::new(image.pix, image.ivar, &image.mask);
    warn(&args, &pixels, broken);
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

fn read_psf(args: &Args, camera: Camera) -> Result<Psf, Error> {
    let mut file = GaussHermitePsf::read(&args.psf)?;
    check_camera(&file.header, &args.psf, "PSF", camera)?;
    if args.gh00 == "stored" {
        file.parameters.insert("GH-0-0".to_string(), stored_gh00(&args.psf)?);
    }
    let psf = Psf::new(file).map_err(|e| Error::data(&args.psf, e))?;
    Ok(if args.no_tails { psf.without_tails() } else { psf })
}

/// Row GH-0-0 of a PSF file as it is stored; the PSF's own reader takes it for 1.
fn stored_gh00(path: &Path) -> Result<Array2<f64>, Error> {
    let table = FitsReader::open(path)?.table("PSF")?;
    let row = table.strings("PARAM").and_then(|names| names.iter().position(|n| n.trim() == "GH-0-0"));
    let column = table.column("COEFF").filter(|c| c.shape.len() == 2);
    let stored = row.zip(column).and_then(|(row, column)| {
        let values = column.data.to_f64()?;
        let shape = (column.shape[0], column.shape[1]);
        Array2::from_shape_vec(shape, values[row * column.repeat()..(row + 1) * column.repeat()].to_vec()).ok()
    });
    stored
        .filter(|s| s.iter().all(|v| v.is_finite()))
        .ok_or_else(|| Error::data(path, "no usable row GH-0-0 in HDU PSF"))
}

/// The barycentric factor, if it was asked for and the exposure is of the sky.
fn heliocor(args: &Args, header: &Header) -> Result<Option<f64>, Error> {
    if !args.barycentric {
        return Ok(None);
    }
    if header.str("FLAVOR").is_some_and(|f| !f.trim().eq_ignore_ascii_case("science")) {
        log::info!("{}: no science exposure, wavelengths stay those at the telescope", args.input.display());
        return Ok(None);
    }
    let missing = |key| Error::data(&args.input, format!("--barycentric: keyword {key} is missing"));
    barycentric::factor_of(header).map(Some).map_err(missing)
}

/// The wavelengths of the frame.
fn grid(args: &Args, camera: Camera) -> Result<Grid, Error> {
    let (first, last, step) = camera.band.extraction_grid();
    let survey = Grid::new(first, last, step).ok_or_else(|| Error::usage("no wavelength grid"))?;
    Ok(args.wavelength.unwrap_or(survey))
}

fn params(args: &Args, psf: &Psf, grid: Grid) -> Result<Params, Error> {
    if args.bundlesize == 0 || args.nsubbundles == 0 || args.nspec == Some(0) {
        return Err(Error::usage("--bundlesize, --nsubbundles and --nspec must be at least 1"));
    }
    if !(args.regularize >= 0.0 && args.regularize.is_finite()) {
        return Err(Error::usage(format!("--regularize is {}: it must be 0 or more", args.regularize)));
    }
    let start = args.specmin.checked_sub(psf.file().fibermin).ok_or_else(|| {
        Error::usage(format!(
            "--specmin {}: the first fibre of {} is {}",
            args.specmin,
            args.psf.display(),
            psf.file().fibermin
        ))
    })?;
    let fibers = start..start + args.nspec.unwrap_or(psf.nfiber().saturating_sub(start));
    if fibers.is_empty() || fibers.end > psf.nfiber() {
        return Err(Error::usage(ExtractError::NoSuchFiber { fibers, nfiber: psf.nfiber() }));
    }
    Ok(Params {
        grid,
        fibers,
        bundlesize: args.bundlesize,
        nsubbundles: args.nsubbundles,
        regularize: args.regularize,
        decorrelation: args.decorrelate,
        psf_error: psf.file().header.float("PSFERR").unwrap_or(extract::PSF_ERROR),
    })
}

/// The rows of the given fibermap, else of the image's, else the fibres' numbers.
fn fibermap(args: &Args, image: &Image, first: usize, n: usize) -> Result<Fibermap, Error> {
    let given = args.fibermap.as_deref().map(Fibermap::read).transpose()?;
    let (path, map) = match (&args.fibermap, given, &image.fibermap) {
        (Some(path), Some(map), _) => (path, map),
        (_, _, Some(map)) => (&args.input, map.clone()),
        _ => return Ok(Fibermap::numbered(first as i32, n)),
    };
    frame::rows_of(&map, first, n).map_err(|fiber| {
        Error::data(
            path,
            format!("FIBERMAP has no row of FIBER {fiber}; fibres {first}-{} are extracted", first + n - 1),
        )
    })
}

fn warn(args: &Args, pixels: &Pixels, broken: usize) {
    let path = args.input.display();
    if broken > 0 {
        log::warn!("{path}: {broken} pixels that no mask flags are not finite; they are left out");
    }
    if pixels.is_blind() {
        log::warn!("{path}: no pixel has a weight (all masked or ivar 0): every bin will be masked");
    }
    if let Some(n) = args.nwavestep {
        log::info!("--nwavestep {n} has no effect: the whole wavelength range is solved at once");
    }
}
