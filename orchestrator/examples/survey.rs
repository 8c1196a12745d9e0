//! Makes the raw data of a survey out of empty files, or the empty products of its production: what the scale of the
//! orchestrator is measured on (scripts/benches/orchestrator).
//!
//!     survey raw DIR EXPOSURES      science exposures of 30 cameras, 30 a night, after an arc and a flat
//!     survey products               every product of the production that the environment names
//!     survey records                the same, with a log and a record of each, as runs would have left them

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../tests/common/fits.rs"]
mod fits;

use orchestrator::graph::{FileId, TaskId};
use orchestrator::load::{Loaded, load};
use orchestrator::production::Place;
use orchestrator::record::{self, Ending, FileRecord, Record};
use orchestrator::{command, disk, history};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PER_NIGHT: u32 = 30;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["raw", folder, exposures] => raw(Path::new(folder), exposures.parse().unwrap()),
        ["products"] => products(&load(&Place::default()).unwrap()),
        ["records"] => {
            let loaded = load(&Place::default()).unwrap();
            products(&loaded);
            loaded.graph.ids().for_each(|task| record(&loaded, task));
        }
        _ => panic!("usage: survey raw DIR EXPOSURES | survey products | survey records"),
    }
}

fn raw(folder: &Path, exposures: u32) {
    let cameras: Vec<String> = (0..10).flat_map(|s| ["b", "r", "z"].map(|band| format!("{band}{s}"))).collect();
    for (index, first) in (0..exposures).step_by(PER_NIGHT as usize).enumerate() {
        let night = folder.join(format!("{:08}", 20260101 + index / 28 * 100 + index % 28));
        fs::create_dir_all(&night).unwrap();
        let start = first + 2 * index as u32;
        let science = (0..PER_NIGHT.min(exposures - first)).map(|n| ("science", start + 2 + n));
        let calibration = [("arc", start), ("flat", start + 1)];
        for (flavor, expid) in calibration.into_iter().chain(science) {
            // four exposures share their bricks, one for each petal
            let row =
                |petal: u8| (format!("{:06}{petal}", expid / 4), i64::from(expid * 10 + 1) + i64::from(petal), petal);
            let rows: Vec<(String, i64, u8)> = (0..10).map(row).collect();
            fs::write(night.join(format!("fibermap-{expid:08}.fits")), fits::fibermap_of_petals(flavor, &rows))
                .unwrap();
            for camera in &cameras {
                fs::write(night.join(format!("pix-{camera}-{expid:08}.fits")), "").unwrap();
            }
        }
    }
}

fn products(loaded: &Loaded) {
    let mut folders = BTreeSet::new();
    for task in loaded.graph.ids() {
        let (root, path) = loaded.graph.path(loaded.graph.task(task).output);
        let path = loaded.production.root(root).join(path);
        let folder = path.parent().unwrap().to_path_buf();
        if folders.insert(folder.clone()) {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(path, "").unwrap();
    }
}

fn record(loaded: &Loaded, task: TaskId) {
    let Loaded { production, graph, options, .. } = loaded;
    let first = graph.needs(task).iter().map(|need| (need.slot, graph.alternatives(need)[0]));
    let inputs: Vec<(u16, FileId)> = first.collect();
    let seen = |file: FileId| {
        let (root, path) = graph.path(file);
        let stamp = disk::stamp(&production.root(root).join(path)).unwrap();
        FileRecord { path: graph.portable(file), size: stamp.size, mtime_ns: stamp.mtime, blake3: None }
    };
    let arguments = command::arguments(graph, options, task, &inputs);
    let record = Record {
        task: graph.name(task),
        step: graph.step(task).name.clone(),
        attempt: 1,
        ending: Ending::Done,
        reason: String::new(),
        exit_code: Some(0),
        signal: None,
        argv: arguments.clone(),
        arguments,
        cwd: production.dir.display().to_string(),
        environment: record::environment_that_matters(),
        host: "host".into(),
        pid: 1,
        job: None,
        start: "2026-01-01T00:00:00Z".into(),
        end: "2026-01-01T00:00:01Z".into(),
        wall_seconds: 1.0,
        cpu_seconds: 1.0,
        peak_memory_mb: 100.0,
        inputs: inputs.iter().map(|(_, file)| seen(*file)).collect(),
        outputs: vec![seen(graph.task(task).output)],
    };
    let (log, path) = (history::log_path(production, graph, task, 1), history::record_path(production, graph, task, 1));
    [&log, &path].iter().for_each(|path| fs::create_dir_all(path.parent().unwrap()).unwrap());
    fs::write(log, "").unwrap();
    record.write(&path).unwrap();
}
