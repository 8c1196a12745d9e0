"""measure.py RUNS LOG COMMAND...: runs the command RUNS times and prints the medians of its CPU seconds (user and
system, children included), wall seconds and peak memory in MB."""
import os, statistics, subprocess, sys, time

runs, log, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
rows = []
for _ in range(runs):
    start = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"measure: {' '.join(command)}: status {status}")
    rows.append((usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1024))
print(*(f"{statistics.median(column):.3f}" for column in zip(*rows)))
