//! What the options and the input files say.

use crate::Args;
use datamodel::{Camera, Fibermap, GaussHermitePsf, Header, Image, check_camera, fits::FitsReader};
use extract::{ExtractError, Grid, Params, Pixels, barycentric, frame};
use ndarray::Array2;
use psf::Psf;
use std::path::Path;
use step::Error;

/// The PSF of the camera.
pub fn psf(args: &Args, camera: Camera) -> Result<Psf, Error> {
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
pub fn heliocor(args: &Args, header: &Header) -> Result<Option<f64>, Error> {
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
pub fn grid(args: &Args, camera: Camera) -> Result<Grid, Error> {
    let (first, last, step) = camera.band.extraction_grid();
    let survey = Grid::new(first, last, step).ok_or_else(|| Error::usage("no wavelength grid"))?;
    Ok(args.wavelength.unwrap_or(survey))
}

/// What to extract and how.
pub fn params(args: &Args, psf: &Psf, grid: Grid) -> Result<Params, Error> {
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
        model: args.model.is_some(),
    })
}

/// The rows of the given fibermap, else of the image's, else the fibres' numbers.
pub fn fibermap(args: &Args, image: &Image, first: usize, n: usize) -> Result<Fibermap, Error> {
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

/// Says what will be missing from the frame.
pub fn warn(args: &Args, pixels: &Pixels, broken: usize) {
    let path = args.input.display();
    if broken > 0 {
        log::warn!(
            "{path}: {broken} pixels that no mask flags are no measurement (not finite, or of negative inverse variance); they are left out"
        );
    }
    if pixels.is_blind() {
        log::warn!("{path}: no pixel has a weight (all masked or ivar 0): every bin will be masked");
    }
    if let Some(n) = args.nwavestep {
        log::info!("--nwavestep {n} has no effect: the whole wavelength range is solved at once");
    }
}
