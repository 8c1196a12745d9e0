//! What goes wrong on a real night: the right task fails with a sentence that names the file, the others finish,
//! and a run after the repair completes. One production, one accident after the other.

// the helpers of a test may fail it
#![allow(clippy::unwrap_used, clippy::panic)]

use datamodel::{GaussHermitePsf, Image};
use endtoend::{Production, files, run, stderr, stdout};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const NIGHT: &str = "20260315";

fn states_are_all_done(production: &Production) -> bool {
    let states = production.states();
    let mut counts = states.as_object().unwrap().values().flat_map(|c| c.as_object().unwrap().clone());
    counts.all(|(state, n)| state == "done" || n == 0)
}

/// The one file of the production whose path holds this.
fn only(production: &Production, pattern: &str) -> PathBuf {
    let found = production.products(pattern);
    assert_eq!(found.len(), 1, "{pattern}: {found:?}");
    found.into_iter().next().unwrap()
}

/// Runs, and asserts that exactly the tasks of one step failed, that the reason names the file, and that the run
/// said so with its exit code.
fn assert_fails(production: &Production, step: &str, tasks: usize, names: &str) {
    let (code, said) = production.run_all();
    assert_ne!(code, Some(0), "{said}");
    let states = production.states();
    for (name, counts) in states.as_object().unwrap() {
        let failed = counts["failed"].as_u64().unwrap_or(0) as usize;
        assert_eq!(failed, if name == step { tasks } else { 0 }, "{name}: {counts}\n{said}");
    }
    let shown = stdout(&production.status(&format!("step {step} --state failed")));
    assert!(shown.contains(names), "{shown} does not name {names}");
}

fn assert_completes(production: &Production) {
    let (code, said) = production.run_all();
    assert_eq!(code, Some(0), "{said}");
    assert!(states_are_all_done(production), "{}", stdout(&production.status("all")));
}

fn truncate(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length / 2).unwrap();
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn accidents_are_contained_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--seed", "9", "--arcs", "1", "--flats", "1", "--exposures", "1"];
    let production = Production::simulate(folder.path(), NIGHT, &options);
    an_arc_without_lines(&production);
    a_truncated_frame(&production);
    a_psf_full_of_nans(&production);
    a_task_killed(&production);
    a_camera_that_is_not_there(&production);
}

/// The arc of one camera is dark: its bootcalib fails, the other two cameras go all the way.
fn an_arc_without_lines(production: &Production) {
    let raw = production.raw.join(NIGHT);
    let mut arcs: Vec<PathBuf> = files(&raw).into_iter().filter(|p| name(p).starts_with("pix-r0-")).collect();
    arcs.sort();
    let arc = &arcs[0];
    let kept = fs::read(arc).unwrap();
    let mut image = Image::read(arc).unwrap();
    image.pix.fill(0.0);
    image.write(arc).unwrap();
    assert_fails(production, "bootcalib", 1, name(arc));
    assert_eq!(production.products("/cframe-").len(), 2);
    assert!(production.products("/cframe-r0").is_empty());
    fs::write(arc, kept).unwrap();
    assert_completes(production);
    assert_eq!(production.products("/cframe-").len(), 3);
}

/// A frame cut in half is found and made again, to the byte.
fn a_truncated_frame(production: &Production) {
    let sky = only(production, "/sky-z0-");
    let frame = only(production, &name(&sky).replace("sky-", "/frame-"));
    let kept = fs::read(&frame).unwrap();
    truncate(&frame);
    assert_completes(production);
    assert!(fs::read(&frame).unwrap() == kept, "{} is not what it was", frame.display());
}

fn a_psf_full_of_nans(production: &Production) {
    let path = only(production, "/psfnight-b0");
    let kept = fs::read(&path).unwrap();
    spoil_with_nans(&path);
    // the flat and the science exposure
    assert_fails(production, "extract", 2, name(&path));
    fs::write(&path, kept).unwrap();
    assert_completes(production);
}

/// Replaces the coefficients of the traces by NaN and drops the checksums, which would betray it before.
fn spoil_with_nans(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let rows = GaussHermitePsf::read(path).unwrap().x.coeff.len();
    let header = bytes.chunks(80).position(|card| card.starts_with(b"END")).unwrap() * 80;
    let data = (header / 2880 + 1) * 2880;
    bytes[data..data + 8 * rows].copy_from_slice(&f64::NAN.to_be_bytes().repeat(rows));
    for card in bytes[..header].chunks_mut(80).filter(|c| c.starts_with(b"CHECKSUM") || c.starts_with(b"DATASUM")) {
        card[..8].copy_from_slice(b"COMMENT ");
    }
    fs::write(path, bytes).unwrap();
}

/// SIGKILL to a step in the middle of its work: nothing half-written stays, and the same run does it again.
fn a_task_killed(production: &Production) {
    let (psf, target) = (only(production, "/psf-r0-"), only(production, "/psfnight-r0"));
    let kept = fs::read(&psf).unwrap();
    fs::remove_file(&psf).unwrap();
    fs::remove_file(&target).unwrap();
    let script = production.path.join("run/scripts/run_shell_all.sh");
    let mut child = Command::new("bash").arg(script).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !kill("desi_specex") {
        assert!(Instant::now() < deadline, "desi_specex never ran");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!(fs::read(&psf).unwrap() == kept && target.exists());
    let killed = |p: &PathBuf| fs::read_to_string(p).unwrap().to_lowercase().contains("kill");
    let records = files(&production.path.join("run/records"));
    assert!(records.iter().any(killed), "no record says that a task was killed");
    let leftovers: Vec<PathBuf> = files(&production.path).into_iter().filter(|p| name(p).ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert_completes(production);
}

/// Sends SIGKILL to the program of that name that works on this test's night; whether there was one.
fn kill(program: &str) -> bool {
    let ours = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        words[0].ends_with(program) && words.iter().any(|w| w.contains(NIGHT))
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let Some(pid) = pids.filter(|p| p.bytes().all(|b| b.is_ascii_digit())).find(ours) else { return false };
    Command::new("bash").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap().success()
}

/// A second night lacks an arm: the other two are reduced, and its targets get their redshifts from them.
fn a_camera_that_is_not_there(production: &Production) {
    let night = "20260316";
    let raw = production.raw.to_string_lossy();
    let options = ["--seed", "9", "--arcs", "1", "--flats", "1", "--exposures", "1"];
    let simulated = run("desi_simulate", ["--outdir", &raw, "--night", night].iter().chain(&options));
    assert!(simulated.status.success(), "{}", stderr(&simulated));
    let absent = files(&production.raw.join(night)).into_iter().filter(|p| name(p).starts_with("pix-z0-"));
    absent.for_each(|p| fs::remove_file(p).unwrap());
    let records = |night: &str| {
        let all = files(&production.path.join("run/records"));
        all.iter().filter(|p| p.to_string_lossy().contains(&format!("/{night}/"))).count()
    };
    let (first_night, products) = (records(NIGHT), production.products(&format!("exposures/{NIGHT}")));
    assert!(first_night > 0 && records(night) == 0);

    // as a user does it: source setup.sh, no options
    let line = format!("source '{}/setup.sh' && desi_pipe", production.path.display());
    let planned = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(planned.status.success(), "{}", stderr(&planned));
    assert_completes(production);

    assert_eq!(
        production.products(&format!("exposures/{night}")).iter().filter(|p| name(p).starts_with("cframe-")).count(),
        2
    );
    assert!(records(night) > 0);
    assert_eq!(records(NIGHT), first_night, "tasks of the first night ran again");
    assert_eq!(production.products(&format!("exposures/{NIGHT}")), products);
}
