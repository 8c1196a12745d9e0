//! `desi_bootcalib`: first traces and wavelengths of every fibre of a camera from a flat and an arc.

use bootcalib::identify::Nominal;
use datamodel::{Camera, GaussHermitePsf, Header, Image};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Hermite order of the rows (zeros) of a trace file: specex takes the order of its fit from there.
const SPECEX_DEGREE: usize = 6;

#[derive(clap::Args)]
struct Args {
    /// Preprocessed flat (pix file)
    #[arg(long, value_name = "FILE")]
    fiberflat: PathBuf,
    /// Preprocessed arc (pix file) of the same camera
    #[arg(long, value_name = "FILE", required_unless_present = "trace_only")]
    arcfile: Option<PathBuf>,
    /// Output: traces, wavelengths and widths (psfboot file)
    #[arg(long, value_name = "FILE", required_unless_present = "trace_only")]
    outfile: Option<PathBuf>,
    /// Lamp lines: ion, vacuum wavelength, score, intensity [default: built in]
    #[arg(long, value_name = "FILE", alias = "lamplines")]
    linelist: Option<PathBuf>,
    /// Second output: the same as a PSF file with XTRACE, YTRACE and Gaussian spots
    #[arg(long, value_name = "FILE")]
    xytraceset: Option<PathBuf>,
    /// Find and count the fibres of the flat, write nothing
    #[arg(long)]
    trace_only: bool,
    /// Degree of the Legendre series x(wavelength), y(wavelength)
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=9))]
    legendre_degree: u8,
    /// Accepted for old command lines: lines are always matched as patterns
    #[arg(long, hide = true)]
    triplet_matching: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_bootcalib", run)
}

fn run(args: Args) -> step::Result {
    let flat = Image::read(&args.fiberflat)?;
    if args.trace_only {
        let traces = bootcalib::trace::trace(&flat).map_err(|e| step::Error::data(&args.fiberflat, e))?;
        let seen = traces.seen.iter().filter(|s| **s).count();
        log::info!("{} of {} fibres traced", seen, traces.seen.len());
        return Ok(Vec::new());
    }
    let (Some(arcfile), Some(outfile)) = (&args.arcfile, &args.outfile) else {
        return Err(step::Error::usage("--arcfile and --outfile are needed without --trace-only"));
    };
    let arc = Image::read(arcfile)?;
    let camera = same_camera(&flat, &args.fiberflat, &arc, arcfile)?;
    let lines = args.linelist.as_deref().map_or_else(|| Ok(psf::lamps::builtin()), psf::lamps::read)?;
    let degree = usize::from(args.legendre_degree);
    let mut boot = bootcalib::run(&flat, &arc, &lines, Nominal::of(camera.band), degree)
        .map_err(|e| step::Error::data(if e.is_flat() { &args.fiberflat } else { arcfile }, e))?;
    boot.header = header(camera, &flat, &arc);
    step::record_input(&mut boot.header, "IN_FLAT", &args.fiberflat);
    step::record_input(&mut boot.header, "IN_ARC", arcfile);
    boot.write(outfile)?;
    let mut written = vec![outfile.clone()];
    if let Some(path) = args.xytraceset {
        GaussHermitePsf { ghdeg: (SPECEX_DEGREE, SPECEX_DEGREE), ..psf::boot::gaussian(&boot, arc.pix.dim()) }
            .write(&path)?;
        written.push(path);
    }
    Ok(written)
}

/// The camera of both images.
fn same_camera(flat: &Image, flat_path: &Path, arc: &Image, arc_path: &Path) -> Result<Camera, step::Error> {
    let of = |image: &Image, path: &Path| {
        let message = "keyword CAMERA: expected b0 to z9, found none";
        image.camera().ok_or_else(|| step::Error::data(path, message))
    };
    let (flat_camera, camera) = (of(flat, flat_path)?, of(arc, arc_path)?);
    if flat_camera == camera {
        return Ok(camera);
    }
    let message = format!("keyword CAMERA: expected {flat_camera} as in {}, found {camera}", flat_path.display());
    Err(step::Error::data(arc_path, message))
}

fn header(camera: Camera, flat: &Image, arc: &Image) -> Header {
    let mut header = Header::new();
    header.set("CAMERA", camera.to_string(), "camera");
    header.set("NPIX_X", arc.pix.ncols(), "[pixel] width of the image");
    header.set("NPIX_Y", arc.pix.nrows(), "[pixel] height of the image");
    for (image, night, expid, what) in [(arc, "ARCNIGHT", "ARCEXPID", "arc"), (flat, "FLANIGHT", "FLAEXPID", "flat")] {
        for (from, to) in [("NIGHT", night), ("EXPID", expid)] {
            if let Some(value) = image.header.int(from) {
                header.set(to, value, &format!("{from} of the {what}"));
            }
        }
    }
    step::stamp(&mut header);
    header
}
