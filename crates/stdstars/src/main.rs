//! `desi_stdstars`: models of the standard stars of an exposure and spectrograph.

use datamodel::{Camera, Error as FileError, Fiberflat, Fibermap, Frame, Header, Sky};
use std::{path::Path, path::PathBuf, process::ExitCode};
use stdstars::{Params, candidates};
use templates::StarGrid;

#[derive(clap::Args)]
struct Args {
    /// Extracted frames, all arms of one or several exposures (frame-CAMERA-EXPID.fits)
    #[arg(long, num_args = 1.., required = true)]
    frames: Vec<PathBuf>,
    /// Sky models, one for each frame
    #[arg(long, num_args = 1.., required = true)]
    skymodels: Vec<PathBuf>,
    /// Fibre flats, one for each camera
    #[arg(long, num_args = 1.., required = true)]
    fiberflats: Vec<PathBuf>,
    /// Star models (TEFF, LOGG, FEH); the built-in grid without
    #[arg(long)]
    starmodels: Option<PathBuf>,
    /// Models within this many magnitudes of a star's colour (G-R, or Gaia's BP-RP) are tried
    #[arg(long, default_value_t = 0.2, value_name = "MAG")]
    delta_color: f64,
    /// Models of the stars to write (stdstars-SPECTROGRAPH-EXPID.fits)
    #[arg(short, long)]
    outfile: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_stdstars", run)
}

fn run(args: Args) -> step::Result {
    let skies = read_all(&args.skymodels, Sky::read_header)?;
    let flats = read_all(&args.fiberflats, Fiberflat::read_header)?;
    let frames = args.frames.iter().map(|path| stars_of(path, &skies, &flats)).collect::<Result<Vec<_>, _>>()?;
    one_spectrograph(&args.frames, &frames)?;
    let models = args.starmodels.as_deref().map_or_else(|| Ok(StarGrid::builtin()), StarGrid::read)?;
    let params = Params { delta_color: args.delta_color, ..Default::default() };
    let found = candidates::collect(&frames);
    let mut stars = stdstars::run(found, &models, &params).map_err(|e| step::Error::data(&args.frames[0], e))?;
    describe(&mut stars, &frames);
    step::stamp(&mut stars.header);
    stars.write(&args.outfile)?;
    Ok(vec![args.outfile])
}

fn read_all<T>(paths: &[PathBuf], read: impl Fn(&Path) -> datamodel::Result<T>) -> datamodel::Result<Vec<(&Path, T)>> {
    paths.iter().map(|p| Ok((p.as_path(), read(p)?))).collect()
}

/// The standard stars of a frame, flat-fielded and sky-subtracted; skies and flats by their headers.
fn stars_of(path: &Path, skies: &[(&Path, Header)], flats: &[(&Path, Header)]) -> Result<Frame, step::Error> {
    let (mut rows, mut nspec) = (vec![], 0);
    let mut stars = Frame::read_verified_rows(path, |fibermap| {
        (rows, nspec) = (candidates::star_rows(fibermap), fibermap.len());
        rows.clone()
    })?;
    let missing = |what: &str| {
        step::Error::usage(format!("no {what} is given for the camera and exposure of {}", path.display()))
    };
    let of_camera = |p: &&(&Path, Header)| p.1.camera() == stars.camera();
    let of_exposure = |p: &&(&Path, Header)| p.1.int("EXPID") == stars.header.int("EXPID");
    let (flat, _) = flats.iter().find(of_camera).ok_or_else(|| missing("--fiberflats"))?;
    let (sky, _) = skies.iter().filter(of_camera).find(of_exposure).ok_or_else(|| missing("--skymodels"))?;
    let (flat, sky) = ((*flat, Fiberflat::read_rows(flat, nspec, &rows)?), (*sky, Sky::read_rows(sky, nspec, &rows)?));
    calibrate::check((path, &stars), (flat.0, &flat.1))?;
    calibrate::check((path, &stars), (sky.0, &sky.1))?;
    calibrate::divide_by_fiberflat(&mut stars, &flat.1);
    calibrate::subtract_sky(&mut stars, &sky.1);
    Ok(stars)
}

/// That all frames come from one spectrograph.
fn one_spectrograph(paths: &[PathBuf], frames: &[Frame]) -> datamodel::Result<()> {
    let spectrograph = |f: &Frame| f.camera().map(|c: Camera| c.spectrograph);
    let expected = frames.first().and_then(spectrograph);
    match frames.iter().zip(paths).find(|(f, _)| spectrograph(f) != expected) {
        None => Ok(()),
        Some((frame, path)) => Err(FileError::Invalid {
            path: path.clone(),
            hdu: "FLUX".to_string(),
            item: "keyword CAMERA".to_string(),
            expected: format!("a camera of spectrograph {} as in {}", expected.unwrap_or(0), paths[0].display()),
            found: frame.camera().map_or("none".to_string(), |c| c.to_string()),
        }),
    }
}

/// Header, fibermap and list of frames of the product.
fn describe(stars: &mut datamodel::StdStars, frames: &[Frame]) {
    let Some(first) = frames.first() else { return };
    for key in ["NIGHT", "EXPID", "TILEID", "EXPTIME", "MJD-OBS", "AIRMASS"] {
        if let Some(value) = first.header.get(key) {
            stars.header.set(key, value.clone(), "");
        }
    }
    stars.header.set("SPECTRO", first.camera().map_or(0, |c| c.spectrograph), "spectrograph");
    let fibers = first.fibermap.fibers();
    let rows: Vec<usize> = stars.fibers.iter().filter_map(|f| fibers.iter().position(|g| g == f)).collect();
    stars.fibermap = Some(first.fibermap.select(&rows)).filter(|m: &Fibermap| m.len() == stars.fibers.len());
    let key = |f: &Frame, name: &str| f.header.int(name).unwrap_or(0);
    let camera = |f: &Frame| f.camera().map_or(String::new(), |c| c.to_string());
    stars.input_frames = frames.iter().map(|f| (key(f, "NIGHT"), key(f, "EXPID"), camera(f))).collect();
}
