//! What the orchestrator must survive: kills at any moment, full disks, other orchestrators, other clocks, long logs.
//! In its long form (scripts/soak) SPECMILL_SOAK_KILLS and SPECMILL_SOAK_SEED say how often and with which chance.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A linear congruential generator (Knuth, TAOCP 2, 3.3.4).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// Every product by its path, and what lies beside them.
fn products(world: &World, production: &str) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let top = world.root.join("redux").join(production);
    let (mut files, mut leftovers) = (BTreeMap::new(), Vec::new());
    let mut open: Vec<_> = ["calib2d", "exposures", "bricks", "run/claims", "run/records"].map(|f| top.join(f)).into();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_string();
            if path.is_dir() {
                open.push(path);
            } else if name.contains("/.") || name.starts_with("run/claims") {
                leftovers.push(name);
            } else if !name.starts_with("run/records") {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    (files, leftovers)
}

fn start(world: &World, production: &str, arguments: &[&str]) -> Child {
    let mut command = world.command("desi_pipe_run", arguments);
    command.env("SPECPROD", production).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs to the end, which must come: products as those of an undisturbed run, and nothing else.
fn ends_well(world: &World, production: &str, expected: &BTreeMap<String, Vec<u8>>) {
    let output = world.command("desi_pipe_run", &[]).env("SPECPROD", production).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (files, leftovers) = products(world, production);
    assert_eq!(leftovers, [""; 0]);
    assert_eq!(files.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    files.iter().for_each(|(name, bytes)| assert!(bytes == &expected[name], "{name} differs"));
}

fn undisturbed() -> (World, BTreeMap<String, Vec<u8>>) {
    let world = World::small();
    assert_eq!(world.run(&[]).0, 0);
    let (expected, leftovers) = products(&world, "prod");
    assert!(expected.len() == 47 && leftovers.is_empty(), "{leftovers:?}");
    (world, expected)
}

fn make(world: &World, production: &str) {
    assert!(world.command("desi_pipe", &[]).env("SPECPROD", production).output().unwrap().status.success());
}

/// The step programs that run now.
fn steps(world: &World) -> Vec<i32> {
    let bin = world.root.join("bin/desi_").display().to_string();
    let is_step = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&bin) && !line.contains("desi_pipe")
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(is_step).collect()
}

fn kill(pid: i32) {
    // SAFETY: kill takes plain numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn kills_at_any_moment() {
    let (world, expected) = undisturbed();
    world.order("slow");
    let seed = setting("SPECMILL_SOAK_SEED", 1);
    let mut chance = Chance(seed);
    let mut left = setting("SPECMILL_SOAK_KILLS", 20);
    println!("{left} kills, seed {seed}");
    let mut round = 0;
    while left > 0 {
        round += 1;
        let production = format!("round {round}");
        make(&world, &production);
        let mut runs: [Option<Child>; 2] = [None, None];
        let mut complete = false;
        while left > 0 && !complete {
            for run in &mut runs {
                let ended = run.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
                complete |= ended && run.as_mut().is_some_and(|child| child.wait().unwrap().success());
                if ended || run.is_none() {
                    *run = Some(start(&world, &production, &["--jobs", "2", "--retries", "0"]));
                }
            }
            std::thread::sleep(Duration::from_millis(chance.below(80)));
            let steps = steps(&world);
            match chance.below(3) {
                0 if !steps.is_empty() => kill(steps[chance.below(steps.len() as u64) as usize]),
                _ => kill(runs[chance.below(2) as usize].as_ref().map_or(0, |child| child.id() as i32)),
            }
            left -= 1;
        }
        for mut run in runs.into_iter().flatten() {
            kill(run.id() as i32);
            run.wait().unwrap();
        }
        ends_well(&world, &production, &expected);
    }
}

#[test]
fn a_full_disk_at_any_write() {
    let (world, expected) = undisturbed();
    // files may grow to so many blocks of 512 bytes; a write beyond fails
    for blocks in ["0", "1", "2", "5", "9"] {
        let production = format!("full {blocks}");
        make(&world, &production);
        let mut shell = Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f $1; exec \"$2\" --retries 0";
        shell.args(["-c", script, "sh", blocks]).arg(world.root.join("bin/desi_pipe_run"));
        shell.envs(world.command("", &[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.env("SPECPROD", &production).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        if blocks == "0" {
            assert_eq!(output.status.code(), Some(4), "{said}");
        }
        ends_well(&world, &production, &expected);
    }
}

#[test]
fn eight_orchestrators_at_once() {
    let (world, expected) = undisturbed();
    world.order("slow");
    make(&world, "eight");
    let _ = fs::remove_file(world.root.join("runs"));
    let runs: Vec<Child> = (0..8).map(|_| start(&world, "eight", &["--jobs", "1"])).collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let runs = world.runs();
    assert!(runs.len() == 47 && runs.windows(2).all(|pair| pair[0] != pair[1]), "{runs:?}");
    ends_well(&world, "eight", &expected);
}

/// A claim as a process of another host leaves it.
fn claim_elsewhere(world: &World, task: &str, seconds: i64) -> std::path::PathBuf {
    let path = world.prod(&format!("run/claims/{task}.1"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, r#"{"host":"elsewhere","machine":"another","pid":7,"start":8}"#).unwrap();
    shift(&path, seconds);
    path
}

/// Sets a file's time to now and so many seconds.
fn shift(path: &Path, seconds: i64) {
    let now = std::time::SystemTime::now();
    let by = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { now - by } else { now + by };
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn clocks_two_hours_apart() {
    const TASK: &str = "20260101_psfboot-b0";
    for skew in [-7200, 7200] {
        let world = World::small();
        let claim = claim_elsewhere(&world, TASK, skew);
        let mut run = world.start("desi_pipe_run", &["--last", "bootcalib", "--lease", "2"]);
        // its owner lives, whatever its clock says: the task is not touched
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            shift(&claim, skew);
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(run.try_wait().unwrap().is_none());
        assert!(!world.runs().contains(&"desi_bootcalib psfboot-b0".into()), "{:?}", world.runs());
        // and when it dies, the task is taken over
        assert_eq!(run.wait().unwrap().code(), Some(0));
        assert!(world.runs().contains(&"desi_bootcalib psfboot-b0".into()));
        assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
    }
}

#[test]
fn a_long_log_is_capped() {
    let world = World::small();
    world.order("chatty-psfboot-b0");
    assert_eq!(world.run(&["--last", "bootcalib"]).0, 0);
    let log = world.prod("run/logs/20260101/psfboot-b0.1.log");
    assert!(fs::metadata(&log).unwrap().len() < 16 << 20);
    assert!(fs::read(&log).unwrap().trim_ascii_end().ends_with(b"the end"));
}

#[test]
fn inputs_are_only_read() {
    let world = World::small();
    let raw = || {
        let files = fs::read_dir(world.root.join("raw/20260101")).unwrap().flatten();
        files.map(|e| (e.path(), e.metadata().unwrap().modified().unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = raw();
    for path in before.keys().cloned().chain([world.root.join("raw/20260101"), world.root.join("raw")]) {
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
    }
    world.pipe(&[]);
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(raw(), before);
    for path in [world.root.join("raw/20260101"), world.root.join("raw")] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
