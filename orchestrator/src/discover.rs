//! What the raw data folder holds: nights, exposures, cameras, flavours, bricks.

use crate::fibermap::{read_fibermap, read_hdu_names};
use crate::keys::Space;
use crate::plan::{Exposure, NightPlan};
use crate::table::{Reads, Root, Table};
use crate::{Error, Result};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A night as found, and what could not be used of it.
#[derive(Debug)]
pub struct Found {
    /// The night; `spectrographs` and `skip` are left empty.
    pub plan: NightPlan,
    /// A sentence for each file that was left out.
    pub complaints: Vec<String>,
}

/// The raw nights, in order.
///
/// # Errors
/// [`Error::Missing`] if the folder is not there.
pub fn nights(raw: &Path, space: &Space) -> Result<Vec<String>> {
    let night = space.dim("night")?;
    let entries = std::fs::read_dir(raw).map_err(|e| Error::Missing {
        path: raw.to_path_buf(),
        message: format!("cannot list the raw data folder: {e}; see --raw"),
    })?;
    let names = entries.flatten().filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned());
    let nights: BTreeSet<String> = names.filter(|name| space.fits(night, name)).collect();
    Ok(nights.into_iter().collect())
}

/// Lists a night's folder once and reads its fibermaps and the HDU names of its raw exposures.
///
/// # Errors
/// If the folder cannot be listed; a file that cannot be used is a complaint.
pub fn night(raw: &Path, night: &str, table: &Table, space: &Space) -> Result<Found> {
    let camera = space.dim("camera")?;
    let folder = raw.join(night);
    let mut complaints = Vec::new();
    let mut exposures = BTreeMap::new();
    for (expid, files) in by_exposure(&folder, table, space)? {
        let known = files.iter().find(|file| table.files[file.kind].reads == Some(Reads::Fibermap));
        let Some(fibermap) = known else {
            complaints.push(format!("{}: exposure {expid} has no fibermap; it is left out", folder.display()));
            continue;
        };
        let fibermap = match read_fibermap(&fibermap.path) {
            Ok(fibermap) => fibermap,
            Err(error) => {
                complaints.push(format!("{error}; exposure {expid} is left out"));
                continue;
            }
        };
        let mut exposure = Exposure { flavor: fibermap.flavor, files: BTreeMap::new(), bricks: fibermap.bricks };
        for file in files {
            let kind = &table.files[file.kind];
            let cameras = if kind.reads == Some(Reads::Cameras) {
                read_hdu_names(&file.path).map(|names| names.into_iter().filter(|n| space.fits(camera, n)).collect())
            } else {
                Ok(file.camera.into_iter().collect::<BTreeSet<String>>())
            };
            match cameras {
                Ok(cameras) => exposure.files.entry(kind.name.clone()).or_default().extend(cameras),
                Err(error) => complaints.push(format!("{error}; the file is left out")),
            }
        }
        exposures.insert(expid, exposure);
    }
    let plan = NightPlan { night: night.into(), spectrographs: BTreeSet::new(), skip: BTreeSet::new(), exposures };
    Ok(Found { plan, complaints })
}

struct RawFile {
    kind: usize,
    camera: Option<String>,
    path: PathBuf,
}

/// The raw files of a night by exposure number, in the order of their names.
fn by_exposure(folder: &Path, table: &Table, space: &Space) -> Result<BTreeMap<String, Vec<RawFile>>> {
    let (expid, camera) = (space.dim("expid")?, space.dim("camera")?);
    let mut forms = Vec::new();
    for (kind, file) in table.files.iter().enumerate() {
        let pattern = [Some(&file.path), file.raw.as_ref()].into_iter().flatten().find(|p| p.root == Root::Raw);
        if let Some(pattern) = pattern {
            let form = Regex::new(&pattern.file_name_expression(space));
            forms.push((kind, form.map_err(|e| Error::Table(format!("file {}: {e}", file.name)))?));
        }
    }
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let names: BTreeSet<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let mut exposures: BTreeMap<String, Vec<RawFile>> = BTreeMap::new();
    for name in names {
        let found = forms.iter().find_map(|(kind, form)| Some((*kind, form.captures(&name)?)));
        let Some((kind, groups)) = found else { continue };
        let group = |dim: usize| groups.name(&format!("k{dim}")).map(|m| m.as_str().to_string());
        if let Some(number) = group(expid) {
            let file = RawFile { kind, camera: group(camera), path: folder.join(&name) };
            exposures.entry(number).or_default().push(file);
        }
    }
    Ok(exposures)
}
