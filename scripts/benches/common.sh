# Sourced by the benches; the working folder is the repository's root.
bin=${CARGO_TARGET_DIR:-$PWD/target}/release
work=${SPECMILL_BENCH:-$PWD/target/bench}
peers=${SPECMILL_PEERS:-$PWD/target/peers}
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
mkdir -p "$work"

say() { printf '\n==> %s\n' "$*"; }

# The machine and what else runs on it: a time without them says little. (nproc without --all follows OMP_NUM_THREADS.)
machine() {
  printf '%s, %s cores, load %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc --all)" "$(cut -d' ' -f1 /proc/loadavg)"
}

# build PROGRAM...: the programs as released
build() {
  local p=()
  for name in "$@"; do p+=(--bin "$name"); done
  cargo build --quiet --release "${p[@]}"
}

# peer MODULE: is it installed among the peers?
peer() { [ -x "$peers/bin/python" ] && "$peers/bin/python" -c "import $1" 2>/dev/null; }

# measure LABEL RUNS COMMAND...: runs it RUNS times, prints one row with the median CPU seconds; the medians stay in
# $cpu, $wall (seconds) and $memory (MB). Output goes to $work/last.log, shown if the command fails.
measure() {
  local label=$1 runs=$2
  shift 2
  read -r cpu wall memory < <(python3 scripts/benches/measure.py "$runs" "$work/last.log" "$@") || { cat "$work/last.log" >&2; exit 1; }
  printf '%-44s %9.2f s CPU %9.2f s wall %8.0f MB\n' "$label" "$cpu" "$wall" "$memory"
}

# ratio A B: A / B
ratio() { awk "BEGIN { printf \"%.1f\", $1 / $2 }"; }
