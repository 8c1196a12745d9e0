//! Jobs for Slurm: what they ask for, how they are submitted, and a production through a real Slurm of one node.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn job(world: &World, name: &str) -> String {
    fs::read_to_string(world.prod("run/scripts").join(name)).unwrap()
}

/// Runs a driver with the programs of this world before those of the system.
fn submit(world: &World, driver: &str) -> Output {
    let path = format!("{}:{}", world.root.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(world.prod("run/scripts").join(driver));
    command.env("PATH", path).env("WORLD", &world.root).env("SPECMILL_SBATCH_PAUSE", "0").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn jobs_ask_for_what_they_need() {
    let world = World::small();
    let env = world.root.join("env");
    fs::write(&env, "module load things\n").unwrap();
    let asked = ["--nersc_host", "perlmutter", "--account", "desi", "--reservation", "night", "--time-scale", "100"];
    world.pipe(&[&asked[..], &["--env", env.to_str().unwrap(), "--debug"]].concat());
    let extract = job(&world, "extract_all.slurm");
    let lines = ["--account=desi", "--qos=regular", "--constraint=cpu", "--reservation=night", "--cpus-per-task=256"];
    for line in lines.map(|line| format!("#SBATCH {line}\n")).iter().map(String::as_str).chain(["module load things\n"])
    {
        assert!(extract.contains(line), "{line}\n{extract}");
    }
    assert!(fs::read_to_string(world.prod("setup.sh")).unwrap().contains("\nexport DESI_LOGLEVEL=DEBUG"));
    let minutes = |job: &str| {
        let time = job.lines().find_map(|line| line.strip_prefix("#SBATCH --time=")).unwrap();
        let (hours, rest) = time.split_once(':').unwrap();
        60 * hours.parse::<usize>().unwrap() + rest[..2].parse::<usize>().unwrap()
    };
    // nine extractions in a row on a node that is large enough for all take at most three times the longest (guessed to
    // be twice the usual); measured costs, which are those of a shell script, take the shortest job there is
    let guess = minutes(&extract);
    assert!(guess > 100, "{extract}");
    world.run(&[]);
    world.pipe(&asked);
    let extract = job(&world, "extract_all.slurm");
    assert!(extract.contains("from the records of what ran") && minutes(&extract) == 10, "{extract}");
}

#[test]
fn a_machine_of_ones_own_and_arrays() {
    let world = World::small();
    let machines = world.root.join("machines.toml");
    let text = "[mine]\ncores = 2\nmemory_gb = 8\nmax_nodes = 3\nspeed = 0.01\nqueues = [{ name = 'q', nodes = 9, minutes = 60 }]";
    fs::write(&machines, text).unwrap();
    let machine = ["--machines", machines.to_str().unwrap(), "--nersc_host", "mine"];
    world.pipe(&machine);
    // nine tasks of about 100 minutes: the queue's time, on as many nodes as allowed
    let extract = job(&world, "extract_all.slurm");
    for line in ["--nodes=3", "--time=01:00:00", "--partition=q", "--cpus-per-task=2", "--exclusive"] {
        assert!(extract.contains(&format!("#SBATCH {line}\n")), "{line}\n{extract}");
    }
    world.pipe(&[&machine[..], &["--slurm-mode", "array", "--max-nodes", "2"]].concat());
    let extract = job(&world, "extract_all.slurm");
    assert!(extract.contains("#SBATCH --nodes=1\n") && extract.contains("#SBATCH --array=0-1\n"), "{extract}");
    let output = world.output("desi_pipe", &["--nersc_host", "perlmuter"]);
    assert_eq!(output.status.code(), Some(2));
}

/// What a scheduler was asked: the options after --parsable, and the job's name.
fn asked(world: &World) -> BTreeMap<String, String> {
    let runs = fs::read_to_string(world.root.join("asked")).unwrap_or_default();
    let pair = |line: &str| {
        let (options, script) = line.split_once(" /").unwrap();
        (script.rsplit('/').next().unwrap().trim_end_matches(".slurm").to_string(), options.to_string())
    };
    runs.lines().map(pair).collect()
}

const COUNTING: &str = "n=$(cat \"$WORLD/n\" 2>/dev/null || echo 0); n=$((n+1)); echo $n > \"$WORLD/n\"\n";

fn two_nights() -> World {
    let world = World::new();
    for (night, n) in [("20260101", 0), ("20260102", 10)] {
        world.night(night, &[("arc", n + 1), ("flat", n + 2), ("science", n + 3)], &["b0"]);
    }
    world.pipe(&[]);
    world
}

#[test]
fn dependencies_follow_the_data() {
    let world = two_nights();
    world.program("sbatch", &format!("{COUNTING}echo \"$*\" >> \"$WORLD/asked\"\necho $n\n"));
    world.program("squeue", "");
    let output = submit(&world, "run_slurm_all.sh");
    assert!(output.status.success(), "{output:?}");
    let ids: BTreeMap<String, String> = text(&output.stdout)
        .lines()
        .map(|line| line.split_once(' ').map(|(id, name)| (name.to_string(), id.to_string())).unwrap())
        .collect();
    let after = |name: &str| {
        let options = asked(&world)[name].clone();
        let ids_of = options.split_once("--dependency=afterany:").map(|(_, list)| list.to_string()).unwrap_or_default();
        let names = ids.iter().filter(|(_, id)| ids_of.split(':').any(|other| other == *id));
        names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(after("bootcalib_20260102"), [] as [&str; 0]);
    assert_eq!(after("specex_20260102"), ["bootcalib_20260102"]);
    assert_eq!(after("extract_20260101"), ["psfcombine_20260101"]);
    assert_eq!(after("bricks_all"), ["fiberflat-procexp_20260101", "fiberflat-procexp_20260102"]);
    assert_eq!(after("zfind_all"), ["bricks_all"]);
    assert_eq!(ids.len(), 12);
    // a night of its own brings its bricks along
    fs::remove_file(world.root.join("asked")).unwrap();
    submit(&world, "run_slurm_20260102.sh");
    let names: Vec<String> = asked(&world).into_keys().collect();
    assert_eq!(names.len(), 7);
    assert!(names.contains(&"zfind_20260102".into()) && asked(&world)["zfind_20260102"].contains("afterany"));
}

#[test]
fn nothing_is_submitted_twice() {
    let world = two_nights();
    let folder = world.prod("");
    let folder = folder.display().to_string();
    let folder = folder.trim_end_matches('/');
    world.program("sbatch", &format!("{COUNTING}echo \"$*\" >> \"$WORLD/asked\"\necho $n\n"));
    // another production's job of the same name does not count
    let lines = format!("77|extract_20260101|{folder}\n78|specex_20260101|/elsewhere\nslurm_load_jobs error\n");
    fs::write(world.root.join("queue"), lines).unwrap();
    world.program("squeue", "cat \"$WORLD/queue\"\n");
    let output = submit(&world, "run_slurm_20260101.sh");
    assert!(text(&output.stdout).contains("77 extract_20260101 (queued already)"), "{output:?}");
    let asked = asked(&world);
    assert!(!asked.contains_key("extract_20260101") && asked.contains_key("specex_20260101"));
    assert!(asked["fiberflat-procexp_20260101"].ends_with("afterany:77"), "{asked:?}");
}

#[test]
fn a_slurm_that_talks_nonsense_loses_nothing() {
    let world = two_nights();
    // night one's extract is never taken; other answers come with remarks and the cluster's name; specex is taken
    // without saying so; squeue says nothing at first
    let body = r#"case "$*" in
  *extract_20260101*) echo "sbatch: error: Batch job submission failed: Socket timed out" >&2; exit 1 ;;
  *specex_20260101*) echo "$n|specex_20260101|$PROD" >> "$WORLD/queue"; echo "Segmentation fault"; exit 139 ;;
  *zfind*) echo "NaN"; exit 0 ;;
  *) echo "sbatch: remark 12"; echo "$n;cluster"; echo "$*" >> "$WORLD/asked" ;;
esac
"#;
    let folder = world.prod("").display().to_string();
    let prod = format!("PROD='{}'\n", folder.trim_end_matches('/').replace('\'', r"'\''"));
    world.program("sbatch", &format!("{COUNTING}{prod}{body}"));
    world.program("squeue", "cat \"$WORLD/queue\" || exit 1\n");
    let output = submit(&world, "run_slurm_all.sh");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("squeue does not answer") && said.contains("not submitted: extract_20260101\n"), "{said}");
    assert!(said.contains("not submitted: fiberflat-procexp_20260101, which needs extract_20260101"), "{said}");
    let asked = asked(&world);
    let specex = fs::read_to_string(world.root.join("queue")).unwrap();
    assert_eq!(specex.lines().count(), 1, "taken once: {specex}");
    let id = specex.split('|').next().unwrap();
    assert!(asked["psfcombine_20260101"].ends_with(&format!("afterany:{id}")), "{asked:?}");
    // the other night is whole
    assert!(asked.contains_key("fiberflat-procexp_20260102") && !asked.contains_key("zfind_all"));
}

#[test]
fn a_job_that_slurm_forgot_is_not_waited_for() {
    let world = two_nights();
    // refuses dependencies on what it does not know; knows nothing
    let body = "case \"$*\" in *afterany*) echo 'Job dependency problem' >&2; exit 1 ;; esac\n";
    world.program("sbatch", &format!("{COUNTING}{body}echo \"$*\" >> \"$WORLD/asked\"\necho $n\n"));
    world.program("squeue", "");
    let output = submit(&world, "run_slurm_20260101.sh");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(asked(&world).len(), 7);
}

/// The queue of a real Slurm, started if need be; None, with a reason, where there can be none, a failure with
/// SPECMILL_NEED_SLURM set.
fn real_slurm() -> Option<()> {
    let up = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/slurm-up");
    let output = Command::new(up).args(["--nodes", "2"]).output().unwrap();
    if !output.status.success() {
        let why = text(&output.stderr);
        assert!(std::env::var_os("SPECMILL_NEED_SLURM").is_none(), "no Slurm here: {why}");
        eprintln!("SKIPPED: no Slurm here: {why}");
        return None;
    }
    Some(())
}

/// A production whose jobs know the world of the test.
fn on_slurm(world: &World, options: &[&str]) {
    let env = world.root.join("env");
    fs::write(&env, format!("export WORLD=\"{}\"\n", world.root.display())).unwrap();
    world.pipe(&[&["--env", env.to_str().unwrap()], options].concat());
}

fn sbatch(world: &World, script: &str) -> String {
    let script = world.prod(&format!("run/scripts/{script}"));
    let output = Command::new("sbatch").arg("--parsable").arg(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).trim().to_string()
}

fn jobs_of(world: &World, format: &str) -> Vec<String> {
    let output =
        Command::new("squeue").args(["--noheader", "--states=all", "--format"]).arg(format!("%Z|{format}")).output();
    let folder = world.prod("").display().to_string();
    let prefix = format!("{}|", folder.trim_end_matches('/'));
    text(&output.unwrap().stdout).lines().filter_map(|line| Some(line.strip_prefix(&prefix)?.to_string())).collect()
}

fn wait_for(seconds: u64, what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn wait_for_jobs(world: &World) {
    let open = || jobs_of(world, "%T").iter().any(|state| !["COMPLETED", "FAILED"].contains(&state.as_str()));
    wait_for(100, "jobs that do not end", || !open());
}

#[test]
fn a_production_runs_through_a_real_slurm() {
    if real_slurm().is_none() {
        return;
    }
    let world = two_nights();
    on_slurm(&world, &[]);
    world.order("fail-frame-b0-00000003");
    let output = submit(&world, "run_slurm_all.sh");
    assert!(output.status.success(), "{output:?}");
    let again = submit(&world, "run_slurm_all.sh");
    assert_eq!(text(&again.stdout).matches("queued already").count(), 12, "{again:?}");
    wait_for_jobs(&world);
    let states: BTreeMap<String, String> = jobs_of(&world, "%j|%T")
        .iter()
        .map(|line| line.split_once('|').map(|(name, state)| (name.to_string(), state.to_string())).unwrap())
        .collect();
    // a job whose tasks did not all get done says so; none was cancelled, and the other night's are whole
    assert_eq!(states.len(), 12, "{states:?}");
    assert_eq!((states["extract_20260101"].as_str(), states["extract_20260102"].as_str()), ("FAILED", "COMPLETED"));
    assert_eq!(states["fiberflat-procexp_20260102"], "COMPLETED");
    assert_eq!(world.state("frame-b0-00000003").0, "failed");
    assert_eq!(world.state("cframe-b0-00000003").0, "blocked");
    assert_eq!(world.state("fiberflat-b0-00000002").0, "done");
    assert_eq!(world.state("zbest-B13").0, "done");
    let record = fs::read_to_string(world.prod("run/records/20260102/frame-b0-00000013.1.json")).unwrap();
    assert!(record.contains("SLURM_JOB_ID"), "{record}");
    // repaired, submitted again: what is not done is done
    world.revoke("fail-frame-b0-00000003");
    world.touch(&world.raw("20260101", "pix-b0-00000003.fits"));
    let _ = fs::remove_file(world.root.join("runs"));
    assert!(submit(&world, "run_slurm_all.sh").status.success());
    wait_for_jobs(&world);
    let open: Vec<_> =
        world.counts().into_values().flat_map(|states| states.into_keys()).filter(|s| s != "done").collect();
    assert_eq!(open, [] as [String; 0]);
    let runs = world.runs();
    assert!(runs.contains(&"desi_extract frame-b0-00000003".into()), "{runs:?}");
    assert!(!runs.iter().any(|run| run.contains("b0-00000013")), "{runs:?}");
}

#[test]
fn a_job_whose_time_is_nearly_up_ends_cleanly() {
    if real_slurm().is_none() {
        return;
    }
    let world = World::new();
    let exposures: Vec<(&str, u32)> = (0..12).map(|n| if n == 0 { ("arc", 1) } else { ("flat", n + 1) }).collect();
    world.night("20260101", &exposures, &["b0"]);
    on_slurm(&world, &[]);
    assert_eq!(world.run(&["--last", "psfcombine"]).0, 0);
    (2..=12).for_each(|n| world.order(&format!("slow-frame-b0-{n:08}")));
    let _ = fs::remove_file(world.root.join("runs"));
    let id = sbatch(&world, "extract_all.slurm");
    wait_for(60, "the job does not start", || !world.runs().is_empty());
    assert!(Command::new("scancel").args(["--batch", "--signal=USR1", &id]).status().unwrap().success());
    wait_for_jobs(&world);
    let ran = world.runs().len() as u32;
    assert!(ran < 11, "no task is started after the signal");
    assert_eq!(world.counts()["extract"]["done"], ran, "what ran may end");
    assert_eq!(fs::read_dir(world.prod("run/claims")).unwrap().count(), 0);
    let log = fs::read_to_string(world.prod(&format!("run/logs/extract_all_slurm_{id}.log"))).unwrap();
    assert!(log.contains("time was nearly up"), "{log}");
}

#[test]
fn the_nodes_of_a_job_share_its_tasks_out() {
    if real_slurm().is_none() {
        return;
    }
    let nodes = Command::new("sinfo").args(["--noheader", "--format=%D"]).output().unwrap();
    if text(&nodes.stdout).trim() == "1" {
        eprintln!("SKIPPED: this Slurm has one node (scripts/slurm-up --nodes 2 starts one of two)");
        return;
    }
    let world = World::new();
    let exposures: Vec<(&str, u32)> = (0..12).map(|n| if n == 0 { ("arc", 1) } else { ("flat", n + 1) }).collect();
    world.night("20260101", &exposures, &["b0"]);
    // tasks that are said to take hours are worth two nodes
    on_slurm(&world, &["--time-scale", "300", "--max-nodes", "2"]);
    assert_eq!(world.run(&["--last", "psfcombine"]).0, 0);
    (2..=12).for_each(|n| world.order(&format!("slow-frame-b0-{n:08}")));
    let id = sbatch(&world, "extract_all.slurm");
    wait_for_jobs(&world);
    assert_eq!(world.counts()["extract"]["done"], 11);
    // the desi_pipe_run of each node says how many it ran; together they ran each once
    let log = fs::read_to_string(world.prod(&format!("run/logs/extract_all_slurm_{id}.log"))).unwrap();
    let ran = log.lines().filter_map(|line| line.split("this run ran ").nth(1)?.trim().parse::<u32>().ok());
    let ran: Vec<u32> = ran.collect();
    assert!(ran.len() == 2 && ran.iter().sum::<u32>() == 11 && !ran.contains(&0), "{log}");
}
