//! `desi_coadd`: spectra summed over the exposures of each target.

use coadd::Options;
use datamodel::Spectra;
use std::{path::PathBuf, process::ExitCode};

/// Sums the spectra of each target over its exposures, band by band or over the cameras too
#[derive(clap::Args)]
#[command(about)]
struct Args {
    /// Grouped spectra: brick-NAME.fits of desi_bricks, or DESI's spectra- files
    #[arg(short, long)]
    infile: PathBuf,
    /// Coadd to write
    #[arg(short, long)]
    outfile: PathBuf,
    /// Join the cameras on one wavelength grid (HDUs BRZ_*)
    #[arg(long)]
    coadd_cameras: bool,
    /// Sigmas from which on a bin that differs from those of the other exposures is left out (0: none)
    #[arg(long, default_value_t = 4.0)]
    nsig: f64,
    /// All exposures are of one tile: columns of fibre and tile stay in FIBERMAP
    #[arg(long)]
    onetile: bool,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_coadd", run)
}

fn run(args: Args) -> step::Result {
    let spectra = Spectra::read(&args.infile)?;
    let unusable = |error| step::Error::data(&args.infile, error);
    let options = Options { nsig: args.nsig, onetile: args.onetile };
    let mut coadd = coadd::over_exposures(&spectra, options).map_err(unusable)?;
    if args.coadd_cameras {
        coadd = coadd::merge(coadd).map_err(unusable)?;
    }
    step::stamp(&mut coadd.header);
    step::record_input(&mut coadd.header, "IN_SPEC", &args.infile);
    if args.coadd_cameras {
        coadd.write_merged(&args.outfile)?
    } else {
        coadd.write(&args.outfile)?
    }
    Ok(vec![args.outfile])
}
