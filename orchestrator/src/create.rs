//! Creates a production or brings it up to date: folders, setup.sh, options, plans, links, scripts.

use crate::graph::Graph;
use crate::options::Options;
use crate::plan::NightPlan;
use crate::production::{Production, make_folder, sweep, write_atomically};
use crate::scripts;
use crate::table::Table;
use crate::{Error, Result, discover, parallel, say};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a production is to hold.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Regular expressions, one of which a night must match from its start; empty: all nights.
    pub nights: Vec<Regex>,
    /// Spectrographs; None: those that the production has, all if it is new.
    pub spectrographs: Option<BTreeSet<String>>,
    /// Take psfboot from $DESIMODEL; None: as the production does.
    pub fakeboot: Option<bool>,
    /// Take psfnight from psfboot; None: as the production does.
    pub fakepsf: Option<bool>,
    /// A table to use instead of the built-in one.
    pub pipeline: Option<PathBuf>,
}

const BOOT: &[&str] = &["bootcalib"];
const PSF: &[&str] = &["specex", "psfcombine"];

/// Creates or updates; returns the complaints about raw files that were left out.
///
/// # Errors
/// If the raw data cannot be listed or the production not be written.
pub fn create(production: &Production, request: &Request, scripts: &scripts::Settings) -> Result<Vec<String>> {
    say::out(format_args!("Raw data directory = {}", production.raw.display()));
    say::out(format_args!("Production directory = {}", production.dir.display()));
    let folders =
        ["calib2d/psf", "exposures", "bricks", "plan", "run/scripts", "run/logs", "run/records", "run/claims"];
    folders.iter().try_for_each(|folder| make_folder(&production.dir.join(folder)))?;
    ["", "plan", "run", "run/scripts"].iter().for_each(|folder| sweep(&production.dir.join(folder)));
    if let Some(table) = &request.pipeline {
        let text = std::fs::read_to_string(table).map_err(Error::io("read", table))?;
        // a bad one must not take the place of a good one
        Table::load(Some(table))?;
        write_atomically(&production.run().join("pipeline.toml"), &text)?;
    }
    let (table, space) = Table::load(production.pipeline().as_deref())?;
    let known = NightPlan::read_all(production)?;
    let mut plans: BTreeMap<String, NightPlan> = known.into_iter().map(|plan| (plan.night.clone(), plan)).collect();
    let mut complaints = Vec::new();
    for night in wanted_nights(production, request, &space)? {
        let found = discover::night(&production.raw, &night, &table, &space)?;
        complaints.extend(found.complaints);
        let settings = plans.get(&night).or(plans.values().next_back());
        let plan = with_settings(found.plan, settings, request);
        let kind = if plans.contains_key(&night) { "updated" } else { "new" };
        say::out(format_args!("  night {night} ({kind}): {}", describe(&plan)));
        plans.insert(night, plan);
    }
    let plans: Vec<NightPlan> = plans.into_values().collect();
    let graph = Graph::build(table, space, &plans)?;
    write_plans(production, &graph, &plans)?;
    make_links(production, &graph, &plans)?;
    if !production.options().exists() {
        write_atomically(&production.options(), &Options::default_text(&graph.table, &graph.space))?;
    }
    let options = Options::of(production, &graph.table, &graph.space)?;
    scripts::write_setup(production, scripts)?;
    scripts::write_jobs(production, &graph, scripts)?;
    summarise(&graph, production);
    say::warn("desi_pipe", &options.idle_overrides(production, &graph));
    Ok(complaints)
}

fn wanted_nights(production: &Production, request: &Request, space: &crate::keys::Space) -> Result<Vec<String>> {
    let nights = discover::nights(&production.raw, space)?;
    let from_start = |form: &Regex, night: &str| form.find(night).is_some_and(|found| found.start() == 0);
    let matches =
        |night: &String| request.nights.is_empty() || request.nights.iter().any(|form| from_start(form, night));
    let wanted: Vec<String> = nights.iter().filter(|night| matches(night)).cloned().collect();
    if wanted.is_empty() {
        let message = match nights.len() {
            0 => "no night is here (a folder YYYYMMDD with fibermap-EXPID.fits and pix or desi files)".to_string(),
            _ => format!("none of its nights matches --nights: {}", nights.join(", ")),
        };
        return Err(Error::Missing { path: production.raw.clone(), message });
    }
    Ok(wanted)
}

/// What was asked for now, else what the night (or, if it is new, the last night) has, else all.
fn with_settings(mut plan: NightPlan, known: Option<&NightPlan>, request: &Request) -> NightPlan {
    let all = || (0..10).map(|n| n.to_string()).collect();
    plan.spectrographs =
        (request.spectrographs.clone()).or_else(|| known.map(|known| known.spectrographs.clone())).unwrap_or_else(all);
    for (steps, asked) in [(BOOT, request.fakeboot), (PSF, request.fakepsf)] {
        let was = known.is_some_and(|known| steps.iter().all(|step| known.skip.contains(*step)));
        if asked.unwrap_or(was) {
            plan.skip.extend(steps.iter().map(|step| step.to_string()));
        }
    }
    plan
}

fn describe(plan: &NightPlan) -> String {
    let mut flavors: BTreeMap<&str, usize> = BTreeMap::new();
    let mut cameras: BTreeSet<&String> = BTreeSet::new();
    for exposure in plan.exposures.values() {
        *flavors.entry(&exposure.flavor).or_default() += 1;
        cameras.extend(exposure.files.values().flatten());
    }
    let counts: Vec<String> = flavors.iter().map(|(flavor, n)| format!("{n} {flavor}")).collect();
    let cameras: Vec<&str> = cameras.into_iter().map(String::as_str).collect();
    format!("{} exposures; cameras {}", counts.join(", "), cameras.join(" "))
}

fn write_plans(production: &Production, graph: &Graph, plans: &[NightPlan]) -> Result<()> {
    let nights = graph.by_night();
    let write = |plan: &NightPlan| {
        let tasks = nights.get(plan.night.as_str()).map_or(&[][..], Vec::as_slice);
        plan.write(production, &crate::graph_yaml::tasks(graph, tasks.iter().copied()))
    };
    parallel::map(plans, write).into_iter().collect()
}

/// Links for files that are given: psfboot to the model of the instrument, psfnight to psfboot.
fn make_links(production: &Production, graph: &Graph, plans: &[NightPlan]) -> Result<()> {
    for (step, kind) in [("bootcalib", "psfboot"), ("psfcombine", "psfnight")] {
        for plan in plans.iter().filter(|plan| plan.skip.contains(step)) {
            for camera in cameras(graph, plan) {
                let folder = production.dir.join("calib2d/psf").join(&plan.night);
                let target = match kind {
                    "psfboot" => instrument_model(&camera)?,
                    _ => PathBuf::from(format!("psfboot-{camera}.fits")),
                };
                link(&target, &folder, &format!("{kind}-{camera}.fits"))?;
            }
        }
    }
    Ok(())
}

/// The cameras of a night's plan that are to be processed.
fn cameras(graph: &Graph, plan: &NightPlan) -> BTreeSet<String> {
    let Ok(spectrograph) = graph.space.dim("spectrograph") else { return BTreeSet::new() };
    let all = plan.exposures.values().flat_map(|exposure| exposure.files.values().flatten());
    // a camera is a band followed by its spectrograph
    let is_wanted = |camera: &&String| {
        camera.get(1..).is_some_and(|s| graph.space.fits(spectrograph, s) && plan.spectrographs.contains(s))
    };
    all.filter(is_wanted).cloned().collect()
}

fn instrument_model(camera: &str) -> Result<PathBuf> {
    let Some(model) = std::env::var_os("DESIMODEL").filter(|value| !value.is_empty()) else {
        return Err(Error::Usage("--fakeboot needs DESIMODEL to be set: $DESIMODEL/data/specpsf/psf-BAND.fits".into()));
    };
    let band = camera.get(..1).unwrap_or_default();
    Ok(Path::new(&model).join("data/specpsf").join(format!("psf-{band}.fits")))
}

/// Makes a symbolic link; one that points there already stays, another file is not touched.
fn link(target: &Path, folder: &Path, name: &str) -> Result<()> {
    make_folder(folder)?;
    let path = folder.join(name);
    match std::fs::read_link(&path) {
        Ok(there) if there == target => return Ok(()),
        Ok(_) => std::fs::remove_file(&path).map_err(Error::io("remove", &path))?,
        Err(_) if path.exists() => return Ok(()),
        Err(_) => {}
    }
    std::os::unix::fs::symlink(target, &path).map_err(Error::io("link", &path))
}

fn summarise(graph: &Graph, production: &Production) {
    let mut lacking: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for unplanned in &graph.unplanned {
        lacking.entry(&unplanned.lacks).or_insert((0, &unplanned.task)).0 += 1;
    }
    for (lacks, (count, example)) in lacking {
        say::out(format_args!("  not planned for want of a {lacks}: {example}{}", more(count)));
    }
    for (index, step) in graph.table.steps.iter().enumerate() {
        let count = graph.tasks.iter().filter(|task| usize::from(task.step) == index).count();
        if count > 0 {
            say::out(format_args!("  {:<12} {count:>6} tasks", step.name));
        }
    }
    say::out(format_args!(
        "Run it with: {}",
        crate::shell::quote(&production.scripts().join("run_shell_all.sh").display().to_string())
    ));
    say::out(format_args!(
        "       or on Slurm: {}",
        crate::shell::quote(&production.scripts().join("run_slurm_all.sh").display().to_string())
    ));
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}
