//! desi_pipe_run and desi_pipe_status: states, failures, retries, claims.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_night_runs_once() {
    let world = World::small();
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    assert_eq!(runs.len(), 47);
    assert_eq!(world.count("done"), 47);
    assert_eq!(world.run(&[]), (0, vec![]));
    // the record of an attempt
    let path = world.prod("run/records/20260101/frame-r0-00000003.1.json");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(record["ending"], "done");
    assert_eq!(record["exit_code"], 0);
    assert_eq!(record["inputs"].as_array().unwrap().len(), 3);
    let frame = world.prod("exposures/20260101/00000003/frame-r0-00000003.fits");
    assert_eq!(record["outputs"][0]["blake3"], blake3::hash(&fs::read(frame).unwrap()).to_hex().to_string());
    assert!(record["argv"].as_array().unwrap().iter().any(|a| a == "5760.0,7620.0,0.8"));
    assert!(record["environment"]["SPECPROD"] == "prod" && record["peak_memory_mb"].as_f64().unwrap() > 0.1);
    // nothing is left of running
    assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
}

#[test]
fn a_changed_input_makes_exactly_its_dependents_stale() {
    let world = World::small();
    world.run(&[]);
    world.touch(&world.raw("20260101", "pix-b0-00000003.fits"));
    let (state, reason) = world.state("frame-b0-00000003");
    assert!(state == "stale" && reason.contains("pix-b0-00000003.fits"), "{state}: {reason}");
    let (state, reason) = world.state("zbest-A");
    assert!(state == "stale" && reason.contains("brick-A"), "{state}: {reason}");
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    // stdstars joins the arms: the calibrations of all three follow it
    let expected = [
        "desi_bricks brick-A",
        "desi_bricks brick-B3",
        "desi_extract frame-b0-00000003",
        "desi_fluxcal calib-b0-00000003",
        "desi_fluxcal calib-r0-00000003",
        "desi_fluxcal calib-z0-00000003",
        "desi_procexp cframe-b0-00000003",
        "desi_procexp cframe-r0-00000003",
        "desi_procexp cframe-z0-00000003",
        "desi_sky sky-b0-00000003",
        "desi_stdstars stdstars-0-00000003",
        "desi_zfind zbest-A",
        "desi_zfind zbest-B3",
    ];
    assert_eq!(runs, expected);
}

#[test]
fn a_changed_option_makes_its_tasks_stale() {
    let world = World::small();
    world.run(&[]);
    let path = world.prod("run/options.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("zfind: {}", "redshift: {templates: /somewhere}")).unwrap();
    let (state, reason) = world.state("zbest-A");
    assert!(state == "stale" && reason.contains("now --templates /somewhere"), "{state}: {reason}");
    assert_eq!(world.run(&[]), (0, ["A", "B3", "B4"].map(|b| format!("desi_zfind zbest-{b}")).to_vec()));
    // one band's option touches that band only
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("5760.0", "5700.0")).unwrap();
    assert_eq!(world.counts()["extract"]["stale"], 3);
}

#[test]
fn a_failure_holds_up_only_what_needs_it() {
    let world = World::small();
    world.order("fail-frame-b0-00000003");
    let output = world.output("desi_pipe_run", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("HDU IMAGE: truncated") && said.contains(".1.log"), "{said}");
    let (state, reason) = world.state("frame-b0-00000003");
    assert!(
        state == "failed" && reason.contains("exit code 1") && reason.contains("frame-b0-00000003.fits"),
        "{reason}"
    );
    let (state, reason) = world.state("sky-b0-00000003");
    assert!(state == "blocked" && reason.contains("frame-b0-00000003 failed"), "{reason}");
    // the other arms go on, and the bricks take what there is
    assert_eq!(world.state("cframe-r0-00000003").0, "done");
    let stars = fs::read_to_string(world.prod("exposures/20260101/00000003/stdstars-0-00000003.fits")).unwrap();
    for kind in ["/frame-", "/sky-", "/fiberflat-"] {
        assert_eq!(stars.matches(kind).count(), 2, "the flat of the lost camera is left out too: {stars}");
    }
    let (state, reason) = world.state("brick-B3");
    assert!(state == "done" && reason.contains("made without 20260101_cframe-b0-00000003"), "{reason}");
    assert_eq!(world.count("blocked"), 3);
    // a hopeless failure is not tried again by itself
    assert_eq!(world.run(&[]), (1, vec![]));
    // a repaired input makes it ready, and what was made without it stale
    world.revoke("fail-frame-b0-00000003");
    world.touch(&world.raw("20260101", "pix-b0-00000003.fits"));
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    assert!(
        runs.contains(&"desi_bricks brick-B3".into()) && runs.contains(&"desi_stdstars stdstars-0-00000003".into())
    );
    assert_eq!(world.count("done"), 47);
}

#[test]
fn a_failed_task_can_be_retried_by_hand() {
    let world = World::small();
    world.order("fail-psfboot-z0");
    assert_eq!(world.run(&["--last", "bootcalib"]).0, 1);
    world.revoke("fail-psfboot-z0");
    let log = world.ok("desi_pipe_status", &["task", "20260101_psfboot-z0", "--log"]);
    assert!(log.contains("psfboot-z0.1.log") && log.contains("HDU IMAGE: truncated"), "{log}");
    world.ok("desi_pipe_status", &["task", "psfboot-z0", "--retry"]);
    assert_eq!(world.state("psfboot-z0").0, "done");
    assert!(world.prod("run/logs/20260101/psfboot-z0.2.log").exists());
}

#[test]
fn a_killed_task_is_tried_again_by_the_next_run() {
    let world = World::small();
    world.order("kill-psf-r0-00000001");
    world.order("full-psf-z0-00000001");
    assert_eq!(world.run(&["--retries", "0"]).0, 1);
    let (state, reason) = world.state("psf-r0-00000001");
    assert!(state == "failed" && reason.contains("SIGKILL"), "{reason}");
    // what the dead process left is gone
    let left = fs::read_dir(world.prod("exposures/20260101/00000001")).unwrap().flatten();
    assert!(!left.into_iter().any(|e| e.file_name().to_string_lossy().ends_with(".tmp")));
    assert_eq!(world.state("cframe-b0-00000003").0, "done");
    // a step that comes later does not wait for it
    assert_eq!(world.run(&["--first", "bricks"]), (0, vec![]));
    world.revoke("kill-psf-r0-00000001");
    world.revoke("full-psf-z0-00000001");
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(world.count("done"), 47);
}

#[test]
fn the_system_is_given_another_chance_and_the_data_are_not() {
    let world = World::small();
    world.order("full-psf-z0-00000001");
    world.order("fail-psfboot-r0");
    world.order("segv-psfboot-b0");
    let (code, runs) = world.run(&["--last", "psfcombine", "--retries", "1"]);
    assert_eq!(code, 1);
    let count = |run: &str| runs.iter().filter(|r| *r == run).count();
    assert_eq!(count("desi_specex psf-z0-00000001"), 2);
    assert_eq!(count("desi_bootcalib psfboot-r0"), 1);
    // a crash of its own is a bug
    assert_eq!(count("desi_bootcalib psfboot-b0"), 1);
    // repaired during the pause: nothing went on without it meanwhile
    let run = world.start("desi_pipe_run", &["--retry-failed", "--retries", "3"]);
    let again = world.prod("run/records/20260101/psf-z0-00000001.3.json");
    wait_for(|| again.exists());
    for order in ["full-psf-z0-00000001", "fail-psfboot-r0", "segv-psfboot-b0"] {
        world.revoke(order);
    }
    assert!(run.wait_with_output().unwrap().status.code().is_some());
    assert_eq!(world.state("psfnight-z0").0, "done");
    assert!(!world.prod("run/logs/20260101/psfnight-z0.2.log").exists());
}

#[test]
fn success_without_output_is_a_failure() {
    let world = World::small();
    world.order("silent-brick-A");
    assert_eq!(world.run(&[]).0, 1);
    let (state, reason) = world.state("brick-A");
    assert!(state == "failed" && reason.contains("did not make") && reason.contains("brick-A.fits"), "{reason}");
    assert_eq!(world.state("zbest-A").0, "blocked");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let world = World::small();
    fs::remove_file(world.root.join("bin/desi_zfind")).unwrap();
    assert_eq!(world.run(&[]).0, 1);
    let (state, reason) = world.state("zbest-A");
    assert!(state == "failed" && reason.contains("cannot start desi_zfind"), "{reason}");
}

#[test]
fn files_that_vanish_are_named() {
    let world = World::small();
    fs::remove_file(world.raw("20260101", "pix-r0-00000004.fits")).unwrap();
    assert_eq!(world.run(&[]).0, 1);
    let (state, reason) = world.state("frame-r0-00000004");
    assert!(state == "waiting" && reason.contains("pix-r0-00000004.fits is missing"), "{reason}");
    // stars and bricks of the other arms
    assert_eq!(world.state("cframe-b0-00000004").0, "done");
    assert_eq!(world.state("zbest-B4").0, "done");
    // done work stays done when its raw data go away
    fs::remove_file(world.raw("20260101", "pix-b0-00000003.fits")).unwrap();
    let (state, reason) = world.state("frame-b0-00000003");
    assert!(state == "done" && reason.contains("is gone"), "{reason}");
}

#[test]
fn hand_made_files_count() {
    let world = World::small();
    world.run(&["--last", "extract"]);
    fs::write(world.prod("calib2d/20260101/fiberflat-b0-00000002.fits"), "by hand").unwrap_or_else(|_| {
        fs::create_dir_all(world.prod("calib2d/20260101")).unwrap();
        fs::write(world.prod("calib2d/20260101/fiberflat-b0-00000002.fits"), "by hand").unwrap();
    });
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    assert!(!runs.contains(&"desi_fiberflat fiberflat-b0-00000002".into()));
    // a product edited by hand makes what follows stale, not itself
    fs::write(world.prod("exposures/20260101/00000003/sky-b0-00000003.fits"), "edited").unwrap();
    let (_, runs) = world.run(&[]);
    assert!(
        !runs.contains(&"desi_sky sky-b0-00000003".into()) && runs.contains(&"desi_fluxcal calib-b0-00000003".into())
    );
}

#[test]
fn records_may_be_deleted() {
    let world = World::small();
    world.run(&[]);
    fs::remove_dir_all(world.prod("run/records")).unwrap();
    fs::remove_dir_all(world.prod("run/logs")).unwrap();
    assert_eq!(world.count("done"), 47);
    assert_eq!(world.run(&[]), (0, vec![]));
    fs::remove_file(world.prod("exposures/20260101/00000003/sky-b0-00000003.fits")).unwrap();
    assert_eq!(world.run(&[]).0, 0);
}

#[test]
fn slices_run_their_part() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3)], &["b0", "b1"]);
    world.night("20260102", &[("arc", 11), ("flat", 12), ("science", 13)], &["b0", "b1"]);
    world.pipe(&[]);
    let (code, runs) = world.run(&["--spectrographs", "1", "--nights", "20260101"]);
    assert_eq!(code, 0);
    assert!(!runs.iter().any(|run| run.contains("-b0") || run.ends_with("11")), "{runs:?}");
    // the brick of both nights is made from what there is, and again when there is more
    assert!(runs.contains(&"desi_bricks brick-A".into()) && !runs.contains(&"desi_bricks brick-B13".into()));
    assert_eq!(world.state("brick-A").0, "stale");
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(fs::read_to_string(world.prod("bricks/A/brick-A.fits")).unwrap().matches("cframe-").count(), 4);
    // an old production narrowed to one spectrograph stays so when desi_pipe runs again
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3)], &["b0", "b1"]);
    world.pipe(&["--spectrographs", "0"]);
    world.pipe(&[]);
    assert_eq!(world.counts()["bootcalib"]["ready"], 1);
}

#[test]
fn orchestrators_at_once_never_run_a_task_twice() {
    let world = World::small();
    let log = |n: usize| world.root.join(format!("log{n}"));
    let start = |n| world.start("desi_pipe_run", &["--jobs", "2", "--log", log(n).to_str().unwrap()]);
    let runs: Vec<_> = (0..4).map(start).collect();
    for (n, mut run) in runs.into_iter().enumerate() {
        let code = run.wait().unwrap().code();
        assert_eq!(code, Some(0), "{}", fs::read_to_string(log(n)).unwrap());
    }
    let done = world.runs();
    assert_eq!(done.len(), 47, "{done:?}");
    assert!(done.windows(2).all(|pair| pair[0] != pair[1]), "{done:?}");
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_orchestrator_leaves_nothing_that_stops_the_next() {
    let world = World::small();
    world.order("very-slow-psf-b0-00000001");
    let mut run = world.start("desi_pipe_run", &["--jobs", "1"]);
    wait_for(|| world.root.join("pid").metadata().is_ok_and(|pid| pid.len() > 0));
    assert_eq!(world.state("psf-b0-00000001").0, "running");
    run.kill().unwrap();
    run.wait().unwrap();
    // its child dies with it
    let child = fs::read_to_string(world.root.join("pid")).unwrap();
    wait_for(|| !std::path::Path::new("/proc").join(child.trim()).exists());
    wait_for(|| world.state("psf-b0-00000001").0 == "ready");
    world.revoke("very-slow-psf-b0-00000001");
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(world.count("done"), 47);
    assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
}

#[test]
fn a_signal_stops_a_run_cleanly() {
    let world = World::small();
    world.order("very-slow-psf-b0-00000001");
    let mut run = world.start("desi_pipe_run", &[]);
    wait_for(|| world.runs().iter().any(|run| run.contains("psf-b0")));
    // SAFETY: kill takes plain numbers; the process is our child and not yet waited for.
    unsafe { libc::kill(run.id() as i32, libc::SIGTERM) };
    assert_eq!(run.wait().unwrap().code(), Some(128 + libc::SIGTERM));
    assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
    let (state, reason) = world.state("psf-b0-00000001");
    assert!(state == "ready" && reason.contains("stopped"), "{state}: {reason}");
}

#[test]
fn status_is_plain_text_off_a_terminal() {
    let world = World::small();
    world.order("fail-psfboot-b0");
    world.run(&["--last", "specex"]);
    let text = world.ok("desi_pipe_status", &["all"]);
    assert!(!text.contains('\x1b') && text.contains("Production directory = "), "{text}");
    assert!(text.contains("2 done, 1 failed"), "{text}");
    let text = world.ok("desi_pipe_status", &["step", "bootstrap", "--state", "fail"]);
    assert!(text.contains("psfboot-b0") && !text.contains("psfboot-r0"), "{text}");
    let output = world.output("desi_pipe_status", &["step", "bootcalib", "--state", "bad"]);
    assert_eq!(output.status.code(), Some(2));
}
