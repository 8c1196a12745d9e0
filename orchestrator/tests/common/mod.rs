//! A small world for the tests: raw nights of empty files with true fibermaps, and fake step programs that only
//! copy names about. What a program does to an output NAME is told by a file in `world/do`: `fail-NAME` (exit 1),
//! `kill-NAME` (killed by SIGKILL), `full-NAME` (exit 4), `segv-NAME`, `silent-NAME` (exit 0 without
//! output), `chatty-NAME` (64 MiB of log), `slow-NAME`; `slow` is for all.
#![allow(dead_code)]

pub mod fits;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fake step: copies its arguments and the checksum of its inputs into its output, atomically, after checking that
/// the inputs are there. Neither threads nor the production's folder show up in what it makes.
const FAKE: &str = r#"#!/bin/sh
out=; name=${0##*/}; inputs=; text=
home=$WORLD/redux/$SPECPROD
for a in "$@"; do
  case "$a" in -*) last=$a ;; *)
    case "$last" in --outfile|--output|-o) out=$a ;;
      --brick|--calib|--camera|--threads|--wavelength|--templates|--level) ;;
      *) [ -e "$a" ] || { echo "ERROR:fake.sh:1: $a: not there"; exit 3; }; cat "$a" > /dev/null || exit 4 ;;
    esac ;;
  esac
  [ "$last" = --threads ] || text="$text${a#"$home"}
"
done
base=${out##*/}; base=${base%.fits}
echo "$name $base" >> "$WORLD/runs"
has() { [ -e "$WORLD/do/$1-$base" ]; }
if has slow || [ -e "$WORLD/do/slow" ]; then sleep 0.05; fi
if has very-slow; then echo $$ > "$WORLD/pid"; sleep 60 & wait; fi
if has kill; then : > "$(dirname "$out")/.$base.fits.$$-0.tmp"; kill -9 $$; fi
if has full; then echo "ERROR:fake.sh:2: $out: no space left"; exit 4; fi
if has fail; then echo "ERROR:fake.sh:3: $out: HDU IMAGE: truncated"; echo "INFO:fake.sh:4: end"; exit 1; fi
if has segv; then kill -SEGV $$; fi
if has silent; then exit 0; fi
if has chatty; then head -c "${SPECMILL_SOAK_LOG:-67108864}" /dev/zero; echo "the end"; fi
temporary=${out%/*}/.$base.fits.$$-0.tmp
printf '%s' "$text" > "$temporary" && mv "$temporary" "$out" || { rm -f "$temporary"; exit 4; }
"#;

const PROGRAMS: &[&str] = &[
    "preproc",
    "bootcalib",
    "specex",
    "psfcombine",
    "extract",
    "fiberflat",
    "sky",
    "stdstars",
    "fluxcal",
    "procexp",
    "bricks",
    "zfind",
];

pub struct World {
    _folder: tempfile::TempDir,
    pub root: PathBuf,
}

impl World {
    /// An empty one, in a folder whose name has blanks and letters beyond ASCII.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("été à l'observatoire");
        for name in ["bin", "raw", "redux", "do"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let binaries = [
            env!("CARGO_BIN_EXE_desi_pipe"),
            env!("CARGO_BIN_EXE_desi_pipe_run"),
            env!("CARGO_BIN_EXE_desi_pipe_status"),
        ];
        for binary in binaries {
            // a copy: programs are looked for beside the running one first
            fs::copy(binary, root.join("bin").join(Path::new(binary).file_name().unwrap())).unwrap();
        }
        for step in PROGRAMS {
            let path = root.join("bin").join(format!("desi_{step}"));
            fs::write(&path, FAKE).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { _folder: folder, root }
    }

    /// One with a night of an arc, a flat and two science exposures of b0 r0 z0, and a production of it.
    pub fn small() -> Self {
        let world = Self::new();
        world.night("20260101", &[("arc", 1), ("flat", 2), ("science", 3), ("science", 4)], &["b0", "r0", "z0"]);
        world.pipe(&[]);
        world
    }

    pub fn raw(&self, night: &str, name: &str) -> PathBuf {
        self.root.join("raw").join(night).join(name)
    }

    pub fn prod(&self, path: &str) -> PathBuf {
        self.root.join("redux/prod").join(path)
    }

    /// Adds exposures to a night; science exposure N touches bricks A and BN.
    pub fn night(&self, night: &str, exposures: &[(&str, u32)], cameras: &[&str]) {
        fs::create_dir_all(self.root.join("raw").join(night)).unwrap();
        for (flavor, expid) in exposures {
            let own = format!("B{expid}");
            let rows = [("A", 10, 0), (own.as_str(), 20, 0), (own.as_str(), 21, 0), ("SKYONLY", 30, 1), ("", 40, 0)];
            fs::write(self.raw(night, &format!("fibermap-{expid:08}.fits")), fits::fibermap(flavor, &rows)).unwrap();
            for camera in cameras {
                fs::write(self.raw(night, &format!("pix-{camera}-{expid:08}.fits")), "pixels").unwrap();
            }
        }
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.root.join("bin").join(program));
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("WORLD", &self.root);
        command.env("DESI_SPECTRO_DATA", self.root.join("raw")).env("DESI_SPECTRO_REDUX", self.root.join("redux"));
        command.env("SPECPROD", "prod");
        command.envs(std::env::vars().filter(|(name, _)| name == "SPECMILL_SOAK_LOG"));
        command
    }

    pub fn start(&self, program: &str, arguments: &[&str]) -> std::process::Child {
        use std::process::Stdio;
        self.command(program, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    /// Runs a program that must succeed; its standard output.
    pub fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    pub fn pipe(&self, arguments: &[&str]) -> String {
        self.ok("desi_pipe", arguments)
    }

    /// Runs all that is to be done; exit code and what was run, sorted.
    pub fn run(&self, arguments: &[&str]) -> (i32, Vec<String>) {
        let _ = fs::remove_file(self.root.join("runs"));
        let code = self.output("desi_pipe_run", arguments).status.code().unwrap();
        (code, self.runs())
    }

    /// What the fake programs did since the last `run`, sorted.
    pub fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.join("runs")).unwrap_or_default();
        let mut runs: Vec<String> = text.lines().map(String::from).collect();
        runs.sort();
        runs
    }

    /// A shell script in the folder of the programs.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.root.join("bin").join(name);
        fs::write(&path, format!("#!/bin/bash\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Tells the programs how to treat an output.
    pub fn order(&self, what: &str) {
        fs::write(self.root.join("do").join(what), "").unwrap();
    }

    pub fn revoke(&self, what: &str) {
        fs::remove_file(self.root.join("do").join(what)).unwrap();
    }

    /// Changes a file's time as an edit would.
    pub fn touch(&self, path: &Path) {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    }

    /// `{step: {state: count}}`.
    pub fn counts(&self) -> BTreeMap<String, BTreeMap<String, u32>> {
        serde_json::from_str(&self.ok("desi_pipe_status", &["all", "--json"])).unwrap()
    }

    /// The number of tasks in a state.
    pub fn count(&self, state: &str) -> u32 {
        self.counts().values().filter_map(|states| states.get(state)).sum()
    }

    /// State and reason of a task.
    pub fn state(&self, task: &str) -> (String, String) {
        let text = self.ok("desi_pipe_status", &["task", task]);
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().to_string()
        };
        (field("state"), field("reason"))
    }
}
