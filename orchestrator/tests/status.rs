//! desi_pipe_status: what it shows, for people and for programs.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use serde_json::Value;
use std::fs;
use std::process::Command;

fn json(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&world.ok("desi_pipe_status", arguments)).unwrap()
}

/// A world in which a frame failed in each of two nights, and the raw file of another is gone.
fn troubled() -> World {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3)], &["b0", "r0"]);
    world.night("20260102", &[("arc", 11), ("flat", 12), ("science", 13)], &["b0", "r0"]);
    world.pipe(&[]);
    world.order("fail-frame-b0-00000003");
    world.order("fail-frame-b0-00000013");
    world.order("full-psfboot-r0");
    fs::remove_file(world.raw("20260102", "pix-r0-00000012.fits")).unwrap();
    assert_eq!(world.run(&["--retries", "0"]).0, 1);
    world
}

#[test]
fn views_are_narrowed() {
    let world = troubled();
    let all = json(&world, &["all", "--json"]);
    let night = json(&world, &["all", "--json", "--nights", "20260101"]);
    assert_eq!(all["extract"]["failed"], 2);
    assert_eq!(night["extract"]["failed"], 1);
    let failed = json(&world, &["all", "--json", "--state", "failed"]);
    assert!(failed["extract"]["failed"] == 2 && failed["extract"]["done"].is_null(), "{failed}");
    let step = json(&world, &["step", "extract", "--json", "--state", "failed,blocked", "--nights", "20260102"]);
    let names: Vec<&str> = step.as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.contains("frame-b0-00000013")).count(), 1, "{step}");
    assert!(names.iter().all(|name| name.starts_with("20260102_")), "{step}");
    let task = json(&world, &["task", "frame-b0-00000003", "--json"]);
    assert_eq!(task["state"], "failed");
    assert!(task["log"].as_str().unwrap().ends_with("frame-b0-00000003.1.log"));
}

#[test]
fn a_command_can_be_pasted() {
    let world = World::small();
    world.run(&["--last", "extract"]);
    let line = world.ok("desi_pipe_status", &["task", "frame-r0-00000003", "--command"]);
    assert_eq!(line.lines().count(), 1);
    let frame = world.prod("exposures/20260101/00000003/frame-r0-00000003.fits");
    let by_run = fs::read(&frame).unwrap();
    fs::remove_file(&frame).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env("WORLD", &world.root).env("SPECPROD", "prod");
    let path = format!("{}:/usr/bin:/bin", world.root.join("bin").display());
    assert!(shell.env("PATH", path).status().unwrap().success());
    assert_eq!(fs::read(&frame).unwrap(), by_run);
}

#[test]
fn causes_are_traced() {
    let world = troubled();
    let why = world.ok("desi_pipe_status", &["why", "cframe-b0-00000003"]);
    for part in
        ["is blocked", "needs 20260101_sky-b0-00000003, blocked", "frame-b0-00000003, failed", ".1.log", "--retry"]
    {
        assert!(why.contains(part), "{part}:\n{why}");
    }
    let why = world.ok("desi_pipe_status", &["why", "sky-r0-00000013"]);
    assert!(why.contains("pix-r0-00000012.fits, which is not there") || why.contains("psfboot-r0"), "{why}");
    let text = world.ok("desi_pipe_status", &["task", "sky-b0-00000003", "--why"]);
    assert!(text.contains("command ") && text.contains("needs 20260101_frame-b0-00000003, failed"), "{text}");
}

#[test]
fn failures_are_grouped_by_cause() {
    let world = troubled();
    let groups = json(&world, &["errors", "--json"]);
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_eq!(groups[0]["count"], 2);
    assert_eq!(groups[0]["class"], "data cannot be used");
    assert_eq!(groups[1]["class"], "the system failed");
    let text = world.ok("desi_pipe_status", &["errors"]);
    assert!(
        text.starts_with("     2 x extract (data cannot be used)") && text.contains("HDU IMAGE: truncated"),
        "{text}"
    );
    let one = world.ok("desi_pipe_status", &["errors", "--nights", "20260102"]);
    assert!(one.contains("     1 x extract"), "{one}");
}

#[test]
fn a_retry_may_have_options_of_its_own() {
    let world = World::small();
    world.run(&["--last", "bootcalib"]);
    let options = world.root.join("options of mine.yaml");
    for text in ["level: 3\n", "bootcalib: {level: 3}\n"] {
        fs::write(&options, text).unwrap();
        world.ok("desi_pipe_status", &["task", "psfboot-b0", "--retry", "--opts", options.to_str().unwrap()]);
        let made = fs::read_to_string(world.prod("calib2d/psf/20260101/psfboot-b0.fits")).unwrap();
        assert!(made.contains("--level\n3\n"), "{made}");
        // the production's own options stand: what was tried is not what they say
        let (state, reason) = world.state("psfboot-b0");
        assert!(state == "stale" && reason.contains("no longer --level 3"), "{state}: {reason}");
        world.run(&["--last", "bootcalib"]);
    }
}

#[test]
fn a_watch_looks_again() {
    let world = World::small();
    let mut watch = world.command("desi_pipe_status", &["all", "--watch=0.1"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    world.run(&["--last", "bootcalib"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    watch.kill().unwrap();
    let text = String::from_utf8(watch.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.contains("3 ready") && text.contains("3 done"), "{text}");
}
