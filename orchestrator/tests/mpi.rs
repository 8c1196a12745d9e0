//! desi_pipe_run under a real MPI: built with the `mpi` feature, started by mpirun.
#![cfg(feature = "mpi")]
// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Core-minutes by which the longest come first; steps of two cores for pairs of ranks.
fn with_table(world: &World, change: impl Fn(String) -> String) {
    let table = world.root.join("table.toml");
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/desi.toml");
    fs::write(&table, change(fs::read_to_string(text).unwrap())).unwrap();
    world.pipe(&["--pipeline", table.to_str().unwrap()]);
}

fn mpirun(world: &World, ranks: usize, arguments: &[&str]) -> Child {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-np", &ranks.to_string()]);
    command.arg(world.root.join("bin/desi_pipe_run")).args(arguments);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("WORLD", &world.root).env("HOME", &world.root);
    command.env("DESI_SPECTRO_DATA", world.root.join("raw")).env("DESI_SPECTRO_REDUX", world.root.join("redux"));
    command.env("SPECPROD", "prod").env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_orte_enable_recovery", "1");
    command.stdout(Stdio::null()).stderr(fs::File::create(world.root.join("said")).unwrap());
    command.spawn().unwrap()
}

/// Waits for it; no run of these tests takes a minute.
fn ends(mut child: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("the ranks do not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn said(world: &World) -> String {
    fs::read_to_string(world.root.join("said")).unwrap()
}

fn record(world: &World, night: &str, task: &str) -> serde_json::Value {
    let path = world.prod(&format!("run/records/{night}/{task}.1.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn ranks_share_the_tasks_out() {
    let world = World::small();
    assert_eq!(ends(mpirun(&world, 4, &["--jobs", "1"])), Some(0), "{}", said(&world));
    let runs = world.runs();
    assert_eq!(runs.len(), 47);
    assert!(runs.windows(2).all(|pair| pair[0] != pair[1]), "{runs:?}");
    assert_eq!(world.count("done"), 47);
    assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
    // one summary: rank 0 knows, the others work
    assert_eq!(said(&world).matches("47 tasks, 47 done").count(), 1, "{}", said(&world));
}

#[test]
fn the_longest_goes_first() {
    let world = World::new();
    let exposures = [("arc", 1), ("flat", 2), ("science", 3), ("science", 4), ("science", 5)];
    world.night("20260101", &exposures, &["b0"]);
    // brick A has a target of each exposure's fibermap, the others two each; make the number of targets count
    with_table(&world, |text| text.replace("minutes_per_target", "minutes_per_target = 9.0 #"));
    world.run(&["--last", "bricks"]);
    let _ = fs::remove_file(world.root.join("runs"));
    assert_eq!(ends(mpirun(&world, 2, &["--jobs", "1"])), Some(0));
    let text = fs::read_to_string(world.root.join("runs")).unwrap();
    let order: Vec<&str> = text.lines().map(|line| line.rsplit('-').next().unwrap()).collect();
    assert_eq!(order.len(), 4);
    // A (one target) comes last
    assert!(order[2] == "A" || order[3] == "A", "{order:?}");
    assert!(order[0] != "A" && order[1] != "A", "{order:?}");
}

#[test]
fn a_step_of_several_cores_gets_a_group_of_ranks() {
    let world = World::new();
    let exposures: Vec<(&str, u32)> = (1..=4).map(|n| ("arc", n)).chain([("flat", 9), ("flat", 10)]).collect();
    world.night("20260101", &exposures, &["b0", "r0"]);
    with_table(&world, |text| text.replace("name = \"specex\"\n", "name = \"specex\"\ncores = 2\n"));
    (1..=4).for_each(|n| world.order(&format!("slow-psf-b0-{n:08}")));
    assert_eq!(ends(mpirun(&world, 4, &["--jobs", "1", "--last", "extract"])), Some(0), "{}", said(&world));
    let threads = |task: &str| {
        let argv = record(&world, "20260101", task)["argv"].to_string();
        argv.split("\"--threads\",\"").nth(1).unwrap().chars().next().unwrap()
    };
    // eight tasks for four ranks: no reason for more cores than asked for
    assert_eq!(threads("psf-b0-00000001"), '2');
    // never more than two pairs at once
    let spans: Vec<(String, String)> = (1..=4)
        .flat_map(|n| ["b0", "r0"].map(|camera| record(&world, "20260101", &format!("psf-{camera}-{n:08}"))))
        .map(|r| (r["start"].as_str().unwrap().to_string(), r["end"].as_str().unwrap().to_string()))
        .collect();
    for (start, _) in &spans {
        let at_once = spans.iter().filter(|(s, e)| s <= start && start < e).count();
        assert!(at_once <= 2, "{at_once} at once: {spans:?}");
    }
}

/// The ranks of a world that run tasks now, by the process ids in claims; and rank 0's.
fn owners(world: &World) -> BTreeSet<i32> {
    let files = fs::read_dir(world.prod("run/claims")).into_iter().flatten().flatten();
    let is_claim = |path: &std::path::Path| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    let read = |path: std::path::PathBuf| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok();
    files
        .map(|e| e.path())
        .filter(|p| is_claim(p))
        .filter_map(read)
        .filter_map(|v| Some(v["pid"].as_i64()? as i32))
        .collect()
}

#[test]
fn a_rank_that_dies_and_a_child_that_is_killed_cost_their_task_only() {
    let world = World::new();
    let exposures: Vec<(&str, u32)> = [("arc", 1)].into_iter().chain((2..=9).map(|n| ("flat", n))).collect();
    world.night("20260101", &exposures, &["b0"]);
    world.pipe(&[]);
    assert_eq!(world.run(&["--last", "psfcombine"]).0, 0);
    world.order("kill-frame-b0-00000003");
    (4..=9).for_each(|n| world.order(&format!("slow-frame-b0-{n:08}")));
    world.order("very-slow-frame-b0-00000002");
    let status = world.root.join("status");
    let arguments = ["--jobs", "1", "--retries", "0", "--last", "extract", "--exit-file", status.to_str().unwrap()];
    let started = Instant::now();
    let child = mpirun(&world, 3, &arguments);
    // the rank that runs the very slow task: rank 0 has others to wait for
    let claim = world.prod("run/claims/20260101_frame-b0-00000002.1");
    let owner = || serde_json::from_slice::<serde_json::Value>(&fs::read(&claim).ok()?).ok()?["pid"].as_i64();
    while owner().is_none() || !world.root.join("pid").exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", said(&world));
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = owner().unwrap() as i32;
    assert!(owners(&world).contains(&pid));
    let rank_zero = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap().contains("OMPI_COMM_WORLD_RANK=0\0");
    // whoever it is, what it ran must not hold up a second run
    world.revoke("very-slow-frame-b0-00000002");
    // SAFETY: kill takes plain numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    ends(child);
    assert!(started.elapsed() < Duration::from_secs(50));
    if !rank_zero {
        assert!(fs::read_to_string(&status).unwrap().trim() != "", "{}", said(&world));
        assert!(said(&world).contains("died"), "{}", said(&world));
        for n in 4..=9 {
            assert_eq!(world.state(&format!("frame-b0-{n:08}")).0, "done", "{}", said(&world));
        }
    }
    world.revoke("kill-frame-b0-00000003");
    assert_eq!(ends(mpirun(&world, 2, &["--jobs", "1", "--retry-failed"])), Some(0), "{}", said(&world));
    assert_eq!(world.count("done"), 19);
}

#[test]
fn without_rank_zero_the_others_end() {
    let world = World::new();
    let exposures: Vec<(&str, u32)> = [("arc", 1)].into_iter().chain((2..=9).map(|n| ("flat", n))).collect();
    world.night("20260101", &exposures, &["b0"]);
    world.pipe(&[]);
    assert_eq!(world.run(&["--last", "psfcombine"]).0, 0);
    (2..=9).for_each(|n| world.order(&format!("slow-frame-b0-{n:08}")));
    let started = Instant::now();
    let child = mpirun(&world, 3, &["--jobs", "1"]);
    let is_first = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains("OMPI_COMM_WORLD_RANK=0\0")
    };
    let first = loop {
        if let Some(pid) = owners(&world).into_iter().find(is_first) {
            break pid;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{}", said(&world));
        std::thread::sleep(Duration::from_millis(20));
    };
    // SAFETY: kill takes plain numbers.
    unsafe { libc::kill(first, libc::SIGKILL) };
    ends(child);
    assert!(started.elapsed() < Duration::from_secs(30), "nobody waits for the dead");
    assert!(world.count("done") < 19);
    assert_eq!(ends(mpirun(&world, 2, &["--jobs", "1"])), Some(0), "{}", said(&world));
    assert_eq!(world.count("done"), 19);
}

#[test]
fn scripts_start_ranks_and_say_what_failed() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3)], &["b0"]);
    world.pipe(&["--shell_mpi_run", "mpirun -np", "--shell_max_cores", "3"]);
    world.order("fail-sky-b0-00000003");
    let run = || {
        let mut command = Command::new(world.prod("run/scripts/run_shell_all.sh"));
        command.env("WORLD", &world.root).env("OMPI_ALLOW_RUN_AS_ROOT", "1");
        command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1").output().unwrap()
    };
    let output = run();
    // mpirun itself returns 0
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(world.state("sky-b0-00000003").0, "failed");
    world.revoke("fail-sky-b0-00000003");
    world.touch(&world.raw("20260101", "pix-b0-00000003.fits"));
    assert_eq!(run().status.code(), Some(0));
    assert_eq!(world.state("zbest-A").0, "done");
}
