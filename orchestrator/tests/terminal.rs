//! What a user at a terminal meets: programs that start at once, a run that shows how far it is, a plan before it.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// CPU seconds of a run of a program.
// wait4 waits for it
#[allow(clippy::zombie_processes)]
fn cpu_of(command: &mut Command) -> f64 {
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut status = 0;
    // SAFETY: wait4 fills the variables that it is given; the child is ours and not yet waited for.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::wait4(child.id() as i32, &mut status, 0, &mut usage);
        usage
    };
    assert_eq!(status, 0);
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[test]
fn programs_start_in_ten_milliseconds() {
    let folder = Path::new(env!("CARGO_BIN_EXE_desi_pipe")).parent().unwrap();
    let is_program = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mode = path.metadata().map_or(0, |m| m.permissions().mode());
        name.starts_with("desi_") && !name.contains('.') && path.is_file() && mode & 0o111 != 0
    };
    let programs: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).filter(is_program).collect();
    assert!(programs.len() >= 3);
    for program in programs {
        let seconds = |_| cpu_of(Command::new(&program).arg("--version"));
        let best = (0..5).map(seconds).fold(f64::INFINITY, f64::min);
        eprintln!("{:.1} ms {}", best * 1e3, program.display());
        assert!(best < 0.010, "{} takes {best} s to start", program.display());
    }
}

#[test]
fn a_bar_on_a_terminal_and_lines_elsewhere() {
    let world = World::small();
    world.order("fail-frame-b0-00000003");
    world.order("slow-brick-A");
    // script(1) gives it a terminal
    let run = format!("'{}'", world.root.join("bin/desi_pipe_run").display().to_string().replace('\'', r"'\''"));
    let mut command = Command::new("script");
    command.args(["-qec", &run, "/dev/null"]).env("WORLD", &world.root).env("TERM", "xterm");
    command.env("DESI_SPECTRO_DATA", world.root.join("raw")).env("DESI_SPECTRO_REDUX", world.root.join("redux"));
    let output = command.env("SPECPROD", "prod").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["/47 tasks, ", "/s, ", " left, ", "1 failed, ", " running: "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let world = World::small();
    let output = world.output("desi_pipe_run", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains('\x1b') && said.contains("[47/47] done"), "{said}");
}

#[test]
fn a_dry_run_says_what_would_run() {
    let world = World::small();
    let text = world.ok("desi_pipe_run", &["--dry-run"]);
    assert!(text.ends_with("47 tasks would run\n"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("ready   20260101_psfboot-b0: desi_bootcalib --fiberflat ")),
        "{text}"
    );
    assert!(text.lines().any(|line| line.starts_with("waiting zbest-A: desi_zfind ")), "{text}");
    assert_eq!(world.runs(), [] as [String; 0]);
    // the command can be pasted
    let line = text.lines().find(|line| line.contains("psfboot-b0: ")).unwrap();
    let command = line.split_once(": ").unwrap().1;
    fs::create_dir_all(world.prod("calib2d/psf/20260101")).unwrap();
    let path = format!("{}:/usr/bin:/bin", world.root.join("bin").display());
    let status = Command::new("sh").args(["-c", command]).env("PATH", path).env("WORLD", &world.root).status();
    assert!(status.unwrap().success() && world.prod("calib2d/psf/20260101/psfboot-b0.fits").exists());
}

#[test]
fn steps_and_exposures_can_be_chosen() {
    let world = World::small();
    let (code, runs) = world.run(&["--steps", "bootcalib,psf,psfcombine,extract", "--expids", "1,3"]);
    assert_eq!(code, 0);
    let frames: Vec<&String> = runs.iter().filter(|run| run.starts_with("desi_extract")).collect();
    assert_eq!(
        frames,
        ["b0", "r0", "z0"].map(|c| format!("desi_extract frame-{c}-00000003")).iter().collect::<Vec<_>>()
    );
    assert_eq!(runs.len(), 12, "{runs:?}");
    for wrong in [&["--expids", "8"][..], &["--steps", "extrakt"], &["--steps", "sky", "--first", "sky"]] {
        assert_eq!(world.output("desi_pipe_run", wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn nobody_need_listen() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3)], &["b0"]);
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for (program, arguments) in [("desi_pipe", &[][..]), ("desi_pipe_run", &[]), ("desi_pipe", &["verify"])] {
        let mut command = world.command(program, arguments);
        assert_eq!(command.stdout(full()).stderr(full()).status().unwrap().code(), Some(0), "{program}");
    }
    assert_eq!(world.count("done"), world.counts().values().flat_map(|states| states.values()).sum::<u32>());
}
