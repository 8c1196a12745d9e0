//! A production: one processing of the raw data, in `$DESI_SPECTRO_REDUX/$SPECPROD`; where its files are.

use crate::claim::{hostname, is_running};
use crate::table::Root;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Options that say where the raw data and the production are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Place {
    /// Folder of the raw data [default: $DESI_SPECTRO_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    pub raw: Option<PathBuf>,
    /// Folder of the productions [default: $DESI_SPECTRO_REDUX]
    #[arg(long, global = true, value_name = "DIR")]
    pub redux: Option<PathBuf>,
    /// Name of the production [default: $SPECPROD, else $PRODNAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub prod: Option<String>,
}

/// Where a production and its raw data are; absolute paths.
#[derive(Debug, Clone)]
pub struct Production {
    /// Raw data: a folder a night.
    pub raw: PathBuf,
    /// Parent of the productions.
    pub redux: PathBuf,
    /// Name of the production.
    pub name: String,
    /// The production.
    pub dir: PathBuf,
}

impl Production {
    /// From the options, else from the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] if neither says it.
    pub fn locate(place: &Place) -> Result<Self> {
        let raw = folder(place.raw.clone(), "--raw", "DESI_SPECTRO_DATA")?;
        let redux = folder(place.redux.clone(), "--redux", "DESI_SPECTRO_REDUX")?;
        let given = place.prod.clone().filter(|name| !name.is_empty());
        let named = given.or_else(|| environment("SPECPROD")).or_else(|| environment("PRODNAME"));
        let name = named.ok_or_else(|| unknown("--prod", "SPECPROD"))?;
        Ok(Self { dir: redux.join(&name), raw, redux, name })
    }

    /// The same, of a production that desi_pipe has made.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not there.
    pub fn open(place: &Place) -> Result<Self> {
        let production = Self::locate(place)?;
        if !production.plans().is_dir() {
            let message = "no production is here; create it with desi_pipe --raw DIR --redux DIR --prod NAME";
            return Err(Error::Missing { path: production.dir, message: message.into() });
        }
        Ok(production)
    }

    /// The folder that a root stands for.
    pub fn root(&self, root: Root) -> &Path {
        match root {
            Root::Raw => &self.raw,
            Root::Production => &self.dir,
        }
    }

    /// A path in which roots are written as symbols, as in records, becomes a real one.
    pub fn expand(&self, text: &str) -> String {
        let expanded = [Root::Raw, Root::Production].iter().find_map(|root| {
            let rest = text.strip_prefix(root.symbol())?;
            Some(format!("{}{rest}", self.root(*root).display()))
        });
        expanded.unwrap_or_else(|| text.to_string())
    }

    /// Folder of the nights' plans.
    pub fn plans(&self) -> PathBuf {
        self.dir.join("plan")
    }

    /// Folder of all that belongs to running: options, scripts, logs, records, claims, states.
    pub fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The steps' options.
    pub fn options(&self) -> PathBuf {
        self.run().join("options.yaml")
    }

    /// The pipeline's table, where the production does not use the built-in one.
    pub fn pipeline(&self) -> Option<PathBuf> {
        Some(self.run().join("pipeline.toml")).filter(|p| p.exists())
    }

    /// Logs, one a task attempt, in a folder a night.
    pub fn logs(&self) -> PathBuf {
        self.run().join("logs")
    }

    /// Records, one a task attempt, in a folder a night.
    pub fn records(&self) -> PathBuf {
        self.run().join("records")
    }

    /// What the records say, in a file a folder.
    pub fn summaries(&self) -> PathBuf {
        self.run().join("summaries")
    }

    /// Claims of the tasks that are running.
    pub fn claims(&self) -> PathBuf {
        self.run().join("claims")
    }

    /// Generated scripts.
    pub fn scripts(&self) -> PathBuf {
        self.run().join("scripts")
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn unknown(option: &str, variable: &str) -> Error {
    Error::Usage(format!("give {option} or set {variable} (source the production's setup.sh)"))
}

fn folder(option: Option<PathBuf>, flag: &str, variable: &str) -> Result<PathBuf> {
    let path = option.or_else(|| environment(variable).map(PathBuf::from)).ok_or_else(|| unknown(flag, variable))?;
    let path = std::path::absolute(&path).map_err(Error::io("resolve", &path))?;
    if path.to_str().is_none() {
        return Err(Error::content(&path, "the path is not UTF-8"));
    }
    // a trailing slash would show up doubled in every path
    Ok(path.components().collect())
}

/// Makes a folder and its parents.
///
/// # Errors
/// [`Error::Io`].
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io("create", path))
}

/// Writes a file under a temporary name and renames it, so that nobody sees half of it.
///
/// # Errors
/// [`Error::Io`].
pub fn write_atomically(path: &Path, content: &(impl AsRef<[u8]> + ?Sized)) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.{}-0.tmp", hostname(), std::process::id()));
    std::fs::write(&temporary, content).and_then(|()| std::fs::rename(&temporary, path)).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })
}

/// Removes what [`write_atomically`] left in a folder where it was killed on this host.
pub fn sweep(folder: &Path) {
    remove_temporaries(folder, |stem| stem.strip_suffix(&hostname()).is_some_and(|name| name.ends_with('.')));
}

/// Removes the temporary files `.STEM.PID-N.tmp` of a folder whose process PID does not run.
pub fn remove_temporaries(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|n| n.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.'));
        let Some((stem, writer)) = parts.filter(|(stem, _)| is_ours(stem)) else { continue };
        let pid = writer.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        if !stem.is_empty() && pid.is_some_and(|pid| !is_running(pid)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_of_this_host_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let host = hostname();
        // beyond any process id that Linux gives (2^22)
        let names = [
            format!(".state_1.yaml.{host}.99999999-0.tmp"),
            format!(".state_1.yaml.{host}.{}-0.tmp", std::process::id()),
            ".state_1.yaml.not-this-host.99999999-0.tmp".to_string(),
            "state_1.yaml".to_string(),
        ];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        sweep(folder.path());
        let is_left = |name: &String| folder.path().join(name).exists();
        assert_eq!(names.iter().map(is_left).collect::<Vec<_>>(), [false, true, true, true]);
    }
}
