//! `desi_simulate`: writes a night of raw data whose truth is known.

mod observatory;

use datamodel::{Camera, Expid, Night};
use observatory::Observatory;
use simulate::{instrument::Instrument, instrument::InstrumentError, night};
use std::{path::PathBuf, process::ExitCode};
use step::Error;

/// Simulates a night of raw data: arcs, flats and science exposures, with fibermaps and, beside them, the truth
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// Folder of the raw nights; NIGHT/ and truth/NIGHT/ are written in it
    #[arg(long)]
    outdir: PathBuf,
    /// Night YYYYMMDD
    #[arg(long)]
    night: Night,
    /// desi (full size), mini (2 bundles of 25 fibres), or an instrument's TOML file
    #[arg(long, default_value = "mini")]
    instrument: String,
    /// Spectrographs, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "0")]
    spectrographs: Vec<u8>,
    /// Arc exposures
    #[arg(long, default_value_t = 3)]
    arcs: u32,
    /// Flat exposures
    #[arg(long, default_value_t = 3)]
    flats: u32,
    /// Science exposures
    #[arg(long, default_value_t = 2)]
    exposures: u32,
    /// Consecutive science exposures of one tile
    #[arg(long, default_value_t = 2)]
    visits: u32,
    /// Exposure time of the science exposures in seconds
    #[arg(long, default_value_t = 1000.0)]
    exptime: f64,
    /// Seed of everything that is random: the same seed gives the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first exposure [default: 100 times the days since 2020]
    #[arg(long)]
    first_expid: Option<u32>,
    /// Measured PSF of a camera, CAMERA=FILE; may be given several times
    #[arg(long, value_parser = camera_file, value_name = "CAMERA=FILE", num_args = 1..)]
    psf: Vec<(Camera, PathBuf)>,
    /// Folder of redrock templates to draw the targets from [default: the built-in models]
    #[arg(long)]
    templates: Option<PathBuf>,
    /// Sky: FITS table wavelength, flux (1e-17 erg/s/cm2/Angstrom/arcsec2), or text of lines only
    #[arg(long)]
    sky: Option<PathBuf>,
    /// Extinction in magnitudes per airmass: FITS table wavelength, extinction, or text
    #[arg(long)]
    extinction: Option<PathBuf>,
    /// Arc lines: text of ion, vacuum wavelength, score, intensity
    #[arg(long)]
    arclines: Option<PathBuf>,
    /// Write desi-EXPID.fits.fz as read out (ADU, 4 amplifiers, overscans) instead of pix files
    #[arg(long)]
    raw: bool,
    /// Write the expected electrons of every pixel into the truth too
    #[arg(long)]
    truth_images: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_simulate", run)
}

fn run(args: Args) -> step::Result {
    let instrument = Instrument::load(&args.instrument).map_err(|error| match error {
        InstrumentError::File(file) => file.into(),
        invalid => Error::usage(invalid),
    })?;
    if let Some(s) = args.spectrographs.iter().find(|s| **s >= instrument.spectrographs) {
        return Err(Error::usage(format!(
            "instrument {} has no spectrograph {s}: it has {}",
            instrument.name, instrument.spectrographs
        )));
    }
    if !(args.exptime > 0.0 && args.exptime.is_finite()) {
        return Err(Error::usage(format!("--exptime must be positive, not {}", args.exptime)));
    }
    let plan = night::Plan {
        night: args.night,
        first: args.first_expid.map_or(night::first_expid(args.night), Expid),
        arcs: args.arcs,
        flats: args.flats,
        exposures: args.exposures,
        visits: args.visits,
        seconds: args.exptime,
    };
    let observatory = Observatory::build(&args, instrument, plan)?;
    let mut written = observatory.write_calibration()?;
    let exposures = plan.exposures(args.seed);
    let bar = step::progress_bar(exposures.len() as u64, "exposures");
    for exposure in &exposures {
        written.extend(observatory.observe(exposure)?);
        bar.inc(1);
    }
    bar.finish();
    Ok(written)
}

fn camera_file(text: &str) -> Result<(Camera, PathBuf), String> {
    let (camera, file) = text.split_once('=').ok_or_else(|| format!("'{text}' is not CAMERA=FILE"))?;
    let camera = camera.parse().map_err(|e: datamodel::ids::ParseKeyError| e.to_string())?;
    Ok((camera, PathBuf::from(file)))
}
