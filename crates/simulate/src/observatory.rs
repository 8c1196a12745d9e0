//! A night's files: cameras and tiles prepared once, then exposure after exposure written.

use crate::Args;
use datamodel::{Band, Camera, FIBERS_PER_SPECTROGRAPH, Fibermap, RawExposure, raw::RawImage};
use psf::{Psf, lamps::LampLine};
use rayon::prelude::*;
use simulate::{
    atmosphere::Atmosphere,
    camera::{self, CameraModel, Site},
    detector::Detector,
    external, fibermap,
    fibermap::Fiber,
    image,
    instrument::Instrument,
    night::{Exposure, Flavor, Plan},
    optics, project, raw,
    sky::Sky,
    spectra::Spectra,
    tables::Curve,
    targets::{Target, Tile},
    truth,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use step::Error;

/// Everything that a night's exposures share.
pub struct Observatory {
    instrument: Instrument,
    spectrographs: Vec<u8>,
    plan: Plan,
    seed: u64,
    /// Three a spectrograph.
    cameras: Vec<CameraModel>,
    /// One flag a fibre of all spectrographs.
    dead: Vec<bool>,
    tiles: Vec<Tile>,
    site: Site,
    lamp: Vec<LampLine>,
    night_folder: PathBuf,
    truth_folder: PathBuf,
    calib_folder: PathBuf,
    raw: bool,
    truth_images: bool,
}

impl Observatory {
    /// Reads what the options name and prepares the cameras and tiles.
    pub fn build(args: &Args, instrument: Instrument, plan: Plan) -> Result<Self, Error> {
        let mut spectrographs = args.spectrographs.clone();
        spectrographs.sort_unstable();
        spectrographs.dedup();
        let dead: Vec<bool> =
            spectrographs.iter().flat_map(|&s| camera::dead_fibers(&instrument, s, args.seed)).collect();
        let keys: Vec<Camera> = spectrographs.iter().flat_map(|&s| Band::ALL.map(|b| Camera::new(b, s))).collect();
        if let Some((camera, _)) = args.psf.iter().find(|(c, _)| !keys.contains(c)) {
            return Err(Error::usage(format!("--psf names camera {camera}, which is not simulated")));
        }
        let cameras = keys
            .par_iter()
            .map(|&key| build_camera(args, &instrument, key, &dead, &spectrographs))
            .collect::<Result<Vec<_>, Error>>()?;
        let spectra = Spectra::load(args.templates.as_deref())?;
        let tile = |i: usize| {
            let first_visit = plan.first.0 + plan.arcs + plan.flats + i as u32 * plan.visits.max(1);
            Tile::draw(&instrument, &spectrographs, &dead, &spectra, i64::from(first_visit), args.seed)
        };
        let tiles = (0..plan.tiles()).map(tile).collect();
        Ok(Self {
            spectrographs,
            plan,
            seed: args.seed,
            cameras,
            dead,
            tiles,
            site: read_site(args)?,
            lamp: args.arclines.as_deref().map_or_else(|| Ok(psf::lamps::builtin()), psf::lamps::read)?,
            night_folder: args.outdir.join(plan.night.to_string()),
            truth_folder: args.outdir.join("truth").join(plan.night.to_string()),
            calib_folder: args.outdir.join("calib"),
            raw: args.raw,
            truth_images: args.truth_images,
            instrument,
        })
    }

    /// Writes the true PSFs and, for the raw form, what calibration exposures tell of the CCDs.
    pub fn write_calibration(&self) -> Result<Vec<PathBuf>, Error> {
        let mut written = Vec::new();
        for model in &self.cameras {
            let path = self.truth_folder.join(format!("psf-{}.fits", model.camera));
            model.psf.file().write(&path)?;
            written.push(path);
            if self.raw {
                for (kind, write) in
                    [("mask", truth::write_mask as fn(&Path, &Detector) -> _), ("dark", truth::write_dark)]
                {
                    let path = self.calib_folder.join(format!("{kind}-{}.fits", model.camera));
                    write(&path, &model.detector)?;
                    written.push(path);
                }
            }
        }
        Ok(written)
    }

    /// Writes the files of an exposure.
    pub fn observe(&self, exposure: &Exposure) -> Result<Vec<PathBuf>, Error> {
        let tile = match exposure.flavor {
            Flavor::Science(i) => self.tiles.get(i),
            _ => None,
        };
        let mut header = exposure.header(self.plan.night, tile.map(|t| (t.id, t.centre)));
        step::stamp(&mut header);
        let blank;
        let targets: &[Target] = match tile {
            Some(tile) => &tile.targets,
            None => {
                blank = vec![Target::none(); self.dead.len()];
                &blank
            }
        };
        let offsets: Vec<(f64, f64)> = self
            .spectrographs
            .iter()
            .flat_map(|&s| camera::positioner_offsets(&self.instrument, s, exposure.expid.0, self.seed))
            .collect();
        let fibers = self.fibers(targets, &offsets);

        let fibermap_path = self.night_folder.join(format!("fibermap-{}.fits", exposure.expid));
        let mut fibermap = fibermap::fibermap(&fibers, exposure.flavor, header.clone());
        fibermap.header.set("SEED", self.seed as i64, "of the simulation");
        fibermap.write(&fibermap_path)?;
        let mut written = vec![fibermap_path];
        if tile.is_some() {
            let path = self.truth_folder.join(format!("truth-{}.fits", exposure.expid));
            truth::write_targets(&path, &fibers, &header)?;
            written.push(path);
        }
        let frames = self
            .cameras
            .par_iter()
            .map(|model| self.expose(model, exposure, targets, &offsets, &fibermap))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut raw = RawExposure { header, cameras: BTreeMap::new() };
        for (model, frame) in self.cameras.iter().zip(frames) {
            written.extend(frame.written);
            raw.cameras.extend(frame.raw.map(|image| (model.camera, image)));
        }
        if self.raw {
            let path = self.night_folder.join(format!("desi-{}.fits.fz", exposure.expid));
            raw.write(&path)?;
            written.push(path);
        }
        Ok(written)
    }

    fn fibers<'a>(&self, targets: &'a [Target], offsets: &[(f64, f64)]) -> Vec<Fiber<'a>> {
        let nfiber = self.instrument.nfiber();
        (0..targets.len())
            .map(|i| Fiber {
                fiber: i32::from(self.spectrographs[i / nfiber]) * FIBERS_PER_SPECTROGRAPH as i32 + (i % nfiber) as i32,
                target: &targets[i],
                offset: offsets[i],
                dead: self.dead[i],
            })
            .collect()
    }

    /// Simulates one camera of an exposure: writes its truth and, unless the raw form is asked for, its pix file.
    fn expose(
        &self,
        model: &CameraModel,
        exposure: &Exposure,
        targets: &[Target],
        offsets: &[(f64, f64)],
        fibermap: &Fibermap,
    ) -> Result<Frame, Error> {
        let nfiber = self.instrument.nfiber();
        let slot = self.spectrographs.iter().position(|&s| s == model.camera.spectrograph).unwrap_or(0);
        let rows = slot * nfiber..(slot + 1) * nfiber;
        let light = model.light(exposure, &targets[rows.clone()], &offsets[rows.clone()], &self.site, &self.lamp);
        let expected = project::project(&model.psf, &model.grid, light.density.view(), &light.lines);
        let charge = model.detector.expose(&expected, exposure.seconds, exposure.expid.0);

        let mut header = fibermap.header.clone();
        header.set("CAMERA", model.camera.to_string(), "camera");
        header.set("SPECTRO", model.camera.spectrograph, "spectrograph");
        let file = |folder: &Path, kind: &str| folder.join(format!("{kind}-{}-{}.fits", model.camera, exposure.expid));
        let spectra = file(&self.truth_folder, "spectra");
        truth::write_spectra(&spectra, model, &light, &header)?;
        let mut written = vec![spectra];
        if self.truth_images {
            let path = file(&self.truth_folder, "image");
            truth::write_image(&path, &expected, &header)?;
            written.push(path);
        }
        if self.raw {
            return Ok(Frame {
                written,
                raw: Some(raw::read_out(&model.detector, &charge, exposure.expid.0, model.camera)),
            });
        }
        let path = file(&self.night_folder, "pix");
        let mut pix = image::pix(&model.detector, &expected, &charge, exposure.seconds, exposure.expid.0, header);
        pix.fibermap = Some(fibermap.select(&rows.collect::<Vec<_>>()));
        pix.write(&path)?;
        written.push(path);
        Ok(Frame { written, raw: None })
    }
}

/// What a camera leaves of an exposure.
struct Frame {
    written: Vec<PathBuf>,
    /// In the raw form the exposure's cameras share a file.
    raw: Option<RawImage>,
}

fn build_camera(
    args: &Args,
    instrument: &Instrument,
    key: Camera,
    dead: &[bool],
    spectrographs: &[u8],
) -> Result<CameraModel, Error> {
    let measured = args.psf.iter().find(|(camera, _)| *camera == key);
    let file = match measured {
        Some((_, path)) => external::read(path, instrument, key)?,
        None => optics::true_psf(instrument, key, args.seed)
            .map_err(|e| Error::usage(format!("instrument {}: {e}", instrument.name)))?,
    };
    let psf = Psf::new(file).map_err(|e| match measured {
        Some((_, path)) => Error::data(path, e),
        None => Error::usage(format!("instrument {}: {e}", instrument.name)),
    })?;
    let slot = spectrographs.iter().position(|&s| s == key.spectrograph).unwrap_or(0);
    let nfiber = instrument.nfiber();
    Ok(CameraModel::new(instrument, key, psf, &dead[slot * nfiber..(slot + 1) * nfiber], args.seed))
}

fn read_site(args: &Args) -> Result<Site, Error> {
    let extinction = args.extinction.as_deref().map(|p| Curve::read(p, "extinction")).transpose()?;
    let sky = match args.sky.as_deref() {
        None => Sky::BuiltIn,
        Some(path) if simulate::tables::is_fits(path) => Sky::Measured(Curve::read(path, "flux")?),
        Some(path) => Sky::Lines(Curve::read(path, "flux")?),
    };
    Ok(Site { atmosphere: Atmosphere::new(extinction), sky })
}
