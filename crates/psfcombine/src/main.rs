//! `desi_psfcombine`: the PSF of a night from those of its arcs.

use datamodel::GaussHermitePsf;
use psfcombine::CombineError;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
struct Args {
    /// PSFs of one camera (psf files)
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Output: their mean, bundle by bundle (psfnight file)
    #[arg(long, value_name = "FILE", alias = "outfile")]
    output: PathBuf,
}

fn main() -> ExitCode {
    step::main::<Args>("desi_psfcombine", run)
}

fn run(args: Args) -> step::Result {
    let inputs = args.input.iter().map(|p| GaussHermitePsf::read(p)).collect::<Result<Vec<_>, _>>()?;
    let (mut night, choices) = psfcombine::combine(&inputs).map_err(|error| match &error {
        CombineError::Incompatible { input, item, expected, found } => {
            let message = format!("{item}: expected {expected} as in {}, found {found}", args.input[0].display());
            step::Error::data(&args.input[*input], message)
        }
        _ => step::Error::data(&args.input[0], error),
    })?;
    for choice in &choices {
        if choice.fallback {
            log::warn!(
                "bundle {:02}: no exposure has a valid fit; the first input's rows and STATUS are kept",
                choice.bundle
            );
        } else if choice.used.len() < inputs.len() {
            let left_out = (0..inputs.len()).filter(|k| !choice.used.contains(k));
            let names: Vec<String> = left_out.map(|k| args.input[k].display().to_string()).collect();
            log::warn!("bundle {:02}: left out {}", choice.bundle, names.join(", "));
        }
    }
    for (k, path) in args.input.iter().enumerate() {
        step::record_input(&mut night.header, &format!("IN_PSF{k:02}"), path);
    }
    night.header.remove("IN_PSF");
    step::stamp(&mut night.header);
    night.write(&args.output)?;
    Ok(vec![args.output])
}
