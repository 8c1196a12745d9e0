//! desi_pipe: what it plans and writes.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::fs;
use std::process::Command;

/// Tasks of the small night: 3 cameras, 1 arc, 1 flat, 2 science exposures, bricks A, B3, B4.
const SMALL: &[(&str, u32)] = &[
    ("bootcalib", 3),
    ("specex", 3),
    ("psfcombine", 3),
    ("extract", 9),
    ("fiberflat", 3),
    ("sky", 6),
    ("stdstars", 2),
    ("fluxcal", 6),
    ("procexp", 6),
    ("bricks", 3),
    ("zfind", 3),
];

#[test]
fn the_small_night_is_planned() {
    let world = World::small();
    let counts = world.counts();
    for (step, tasks) in SMALL {
        assert_eq!(counts[*step].values().sum::<u32>(), *tasks, "{step}");
    }
    assert!(counts["preproc"].is_empty());
    // what a task needs, by its command
    let text = world.ok("desi_pipe_status", &["task", "stdstars-0-00000003"]);
    let command = text.lines().find(|line| line.starts_with("command")).unwrap();
    assert_eq!(command.matches("frame-").count(), 3, "{command}");
    assert_eq!(command.matches("fiberflat-").count(), 3, "{command}");
    let text = world.ok("desi_pipe_status", &["task", "brick-A"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("input")).count(), 6, "{text}");
}

#[test]
fn yaml_that_python_reads_is_written() {
    let world = World::small();
    let plan = fs::read_to_string(world.prod("plan/20260101.yaml")).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(&plan).unwrap();
    assert_eq!(value["exposures"]["00000003"]["bricks"]["all"]["B3"], 2);
    // sky fibres and fibres without a brick do not make bricks
    assert_eq!(value["exposures"]["00000003"]["bricks"]["all"].as_object().unwrap().len(), 2);
    let task = &value["tasks"]["20260101_sky-b0-00000003"];
    assert_eq!(task["in"][1], "20260101_fiberflat-b0-00000002");
    world.run(&["--last", "bootcalib"]);
    let states: Vec<_> = fs::read_dir(world.prod("run")).unwrap().flatten().map(|e| e.path()).collect();
    let state = states.iter().find(|p| p.file_name().unwrap().to_string_lossy().starts_with("state_")).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    assert_eq!(value["20260101_psfboot-b0"]["state"], "done");
    // what the run was not asked for is not in it
    assert!(value["20260101_psf-b0-00000001"].is_null());
}

#[test]
fn the_flat_before_is_taken_else_the_first_after() {
    let world = World::new();
    let exposures = [("arc", 1), ("science", 2), ("flat", 3), ("flat", 5), ("science", 6), ("flat", 8)];
    world.night("20260101", &exposures, &["b0"]);
    world.pipe(&[]);
    let flat_of = |task: &str| {
        let text = world.ok("desi_pipe_status", &["task", task]);
        let flat = text.lines().find(|line| line.contains("input") && line.contains("fiberflat")).unwrap().to_string();
        flat.split("fiberflat-b0-").nth(1).unwrap()[..8].to_string()
    };
    assert_eq!(flat_of("sky-b0-00000002"), "00000003");
    assert_eq!(flat_of("sky-b0-00000006"), "00000005");
    assert_eq!(flat_of("stdstars-0-00000006"), "00000005");
    // the one before failed: the one before that is taken, and what it made is redone when the first is repaired
    world.order("fail-fiberflat-b0-00000005");
    assert_eq!(world.run(&[]).0, 1);
    assert_eq!(world.state("zbest-A").0, "done");
    let made = fs::read_to_string(world.prod("exposures/20260101/00000006/sky-b0-00000006.fits")).unwrap();
    assert!(made.contains("fiberflat-b0-00000003"), "{made}");
    world.revoke("fail-fiberflat-b0-00000005");
    let (code, runs) = world.run(&["--retry-failed"]);
    assert_eq!(code, 0);
    assert!(runs.contains(&"desi_sky sky-b0-00000006".into()) && !runs.contains(&"desi_sky sky-b0-00000002".into()));
}

#[test]
fn missing_cameras_are_planned_around() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2)], &["b0", "r0", "b1"]);
    world.night("20260101", &[("science", 3)], &["b0", "r0", "z0", "b1"]);
    // z0 has neither arc nor flat; b1 has no arc
    fs::remove_file(world.raw("20260101", "pix-b1-00000001.fits")).unwrap();
    let text = world.pipe(&[]);
    assert!(text.contains("for want of a") && text.contains("cameras b0 b1 r0 z0"), "{text}");
    let (code, _) = world.run(&[]);
    assert_eq!(code, 0);
    let stars = fs::read_to_string(world.prod("exposures/20260101/00000003/stdstars-0-00000003.fits")).unwrap();
    assert_eq!(stars.matches("/frame-").count(), 2);
    assert!(!world.prod("exposures/20260101/00000003/stdstars-1-00000003.fits").exists());
    let brick = fs::read_to_string(world.prod("bricks/A/brick-A.fits")).unwrap();
    assert_eq!(brick.matches("cframe-").count(), 2);
}

#[test]
fn raw_exposures_are_preprocessed_first() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2)], &["b0"]);
    world.night("20260101", &[("science", 3)], &[]);
    fs::write(world.raw("20260101", "desi-00000003.fits.fz"), common::fits::raw_exposure(&["b0", "spectcons"]))
        .unwrap();
    world.pipe(&[]);
    assert_eq!(world.counts()["preproc"]["ready"], 1);
    assert_eq!(world.run(&[]).0, 0);
    let frame = fs::read_to_string(world.prod("exposures/20260101/00000003/frame-b0-00000003.fits")).unwrap();
    assert!(frame.contains("\n/exposures/20260101/00000003/pix-b0-00000003.fits"), "{frame}");
}

#[test]
fn damaged_raw_files_are_named_and_the_rest_is_planned() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3), ("science", 4)], &["b0"]);
    let whole = fs::read(world.raw("20260101", "fibermap-00000003.fits")).unwrap();
    fs::write(world.raw("20260101", "fibermap-00000003.fits"), &whole[..whole.len() - 2880]).unwrap();
    fs::write(world.raw("20260101", "pix-b0-00000009.fits"), "").unwrap();
    let output = world.output("desi_pipe", &[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("fibermap-00000003.fits: truncated"), "{message}");
    assert!(message.contains("exposure 00000009 has no fibermap"), "{message}");
    assert_eq!(world.run(&[]).0, 0);
    assert!(world.prod("bricks/B4/zbest-B4.fits").exists() && !world.prod("bricks/B3").exists());
}

#[test]
fn a_second_night_is_added_and_nothing_else_is_run() {
    let world = World::small();
    assert_eq!(world.run(&[]).0, 0);
    let options = world.prod("run/options.yaml");
    fs::write(&options, fs::read_to_string(&options).unwrap() + "# mine\n").unwrap();
    world.night("20260102", &[("arc", 11), ("flat", 12), ("science", 13)], &["b0"]);
    world.pipe(&[]);
    assert!(fs::read_to_string(&options).unwrap().ends_with("# mine\n"));
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    let of_first_night =
        |run: &&String| ["01", "02", "03", "04"].iter().any(|id| run.ends_with(&format!("-000000{id}")));
    assert!(!runs.iter().any(|run| of_first_night(&run)), "{runs:?}");
    // the brick that both nights touch is made anew from both, the new one for the first time
    let bricks: Vec<&String> = runs.iter().filter(|run| run.contains("desi_bricks")).collect();
    assert_eq!(bricks, ["desi_bricks brick-A", "desi_bricks brick-B13"]);
    assert_eq!(fs::read_to_string(world.prod("bricks/A/brick-A.fits")).unwrap().matches("cframe-").count(), 7);
    assert_eq!(world.run(&[]), (0, vec![]));
}

#[test]
fn scripts_run_the_production_from_a_bare_shell() {
    let world = World::small();
    let driver = world.prod("run/scripts/run_shell_all.sh");
    let run = || {
        let _ = fs::remove_file(world.root.join("runs"));
        let status = Command::new(&driver).env_clear().env("PATH", "/usr/bin:/bin").env("WORLD", &world.root).output();
        status.unwrap().status.code()
    };
    world.order("fail-sky-b0-00000003");
    assert_eq!(run(), Some(1));
    assert_eq!(world.state("zbest-B4").0, "done");
    world.revoke("fail-sky-b0-00000003");
    world.touch(&world.raw("20260101", "pix-b0-00000003.fits"));
    assert_eq!(run(), Some(0));
    assert_eq!(run(), Some(0));
    assert!(world.runs().is_empty(), "{:?}", world.runs());
    // nothing to preprocess: no script for it
    assert!(!world.prod("run/scripts/preproc_all.sh").exists());
    for name in ["bootcalib_all.sh", "fiberflat-procexp_20260101.slurm", "run_slurm_20260101.sh", "bricks_20260101.sh"]
    {
        assert!(world.prod("run/scripts").join(name).exists(), "{name}");
    }
    let setup = fs::read_to_string(world.prod("setup.sh")).unwrap();
    for name in ["DESI_SPECTRO_DATA=", "DESI_SPECTRO_REDUX=", "SPECPROD=", "PRODNAME=", "#export DESI_LOGLEVEL=DEBUG"] {
        assert!(setup.contains(name), "{setup}");
    }
    assert!(!setup.contains("RR_TEMPLATE_DIR"), "{setup}");
    let status = world.command("desi_pipe", &[]).env("RR_TEMPLATE_DIR", "/my templates").status().unwrap();
    let setup = fs::read_to_string(world.prod("setup.sh")).unwrap();
    assert!(status.success() && setup.contains("\nexport RR_TEMPLATE_DIR='/my templates'\n"), "{setup}");
}

#[test]
fn ranks_of_a_launcher_share_the_tasks() {
    let world = World::small();
    // stands in for mpirun: starts N of a program and waits for all
    let launcher = world.root.join("bin/mpirun");
    let text = "#!/bin/bash\nn=$2; shift 2; export OMPI_COMM_WORLD_LOCAL_SIZE=$n; s=0\nfor i in $(seq $n); do \"$@\" & done\nfor j in $(jobs -p); do wait $j || s=1; done; exit $s\n";
    fs::write(&launcher, text).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
    world.pipe(&["--shell_max_cores", "3"]);
    let driver = world.prod("run/scripts/run_shell_all.sh");
    let status = Command::new(driver).env("WORLD", &world.root).output().unwrap().status;
    assert_eq!(status.code(), Some(0));
    let runs = world.runs();
    let mut once = runs.clone();
    once.dedup();
    assert_eq!(runs, once);
    assert_eq!(runs.len(), SMALL.iter().map(|(_, n)| *n as usize).sum::<usize>());
}

#[test]
fn given_calibrations_are_links() {
    let world = World::new();
    world.night("20260101", &[("flat", 2), ("science", 3)], &["b0", "r0"]);
    let output = world.output("desi_pipe", &["--fakeboot", "--fakepsf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DESIMODEL"));
    let model = world.root.join("model/data/specpsf");
    fs::create_dir_all(&model).unwrap();
    for band in ["b", "r"] {
        fs::write(model.join(format!("psf-{band}.fits")), "psf").unwrap();
    }
    let mut command = Command::new(world.root.join("bin/desi_pipe"));
    command.args(["--fakeboot", "--fakepsf", "--prod", "prod", "--raw"]).arg(world.root.join("raw"));
    command.arg("--redux").arg(world.root.join("redux")).env("DESIMODEL", world.root.join("model"));
    assert!(command.output().unwrap().status.success());
    let link = fs::read_link(world.prod("calib2d/psf/20260101/psfnight-b0.fits")).unwrap();
    assert_eq!(link.to_str(), Some("psfboot-b0.fits"));
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    assert!(!runs.iter().any(|run| ["bootcalib", "specex", "psfcombine"].iter().any(|s| run.contains(s))), "{runs:?}");
    assert!(world.prod("bricks/A/zbest-A.fits").exists());
    assert!(!world.prod("run/scripts/specex_all.sh").exists());
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::new();
    let say = |program: &str, arguments: &[&str]| {
        let output = world.output(program, arguments);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = say("desi_pipe_run", &[]);
    assert!(code == 3 && message.contains("no production is here"), "{message}");
    let (code, message) = say("desi_pipe", &[]);
    assert!(code == 3 && message.contains("no night is here"), "{message}");
    world.night("20260101", &[("arc", 1)], &["b0"]);
    let (code, message) = say("desi_pipe", &["--nights", "2025.*"]);
    assert!(code == 3 && message.contains("20260101"), "{message}");
    world.pipe(&[]);
    let (code, message) = say("desi_pipe_run", &["--first", "extrct"]);
    assert!(code == 2 && message.contains("extract"), "{message}");
    let (code, message) = say("desi_pipe_run", &["--nights", "20260102"]);
    assert!(code == 2 && message.contains("20260101"), "{message}");
    let (code, message) = say("desi_pipe_status", &["task", "psfboot-b1"]);
    assert!(code == 2 && message.contains("20260101_psf-b0") || message.contains("no task"), "{message}");
}
