"""Runs a command and appends `NAME SECONDS MEGABYTES STATUS` to a file: wall time and peak memory.

usage: measure.py FILE NAME COMMAND [ARGUMENT...]
"""

import resource
import subprocess
import sys
import time

out, name, *command = sys.argv[1:]
start = time.monotonic()
status = subprocess.run(command).returncode
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
with open(out, "a") as f:
    print(f"{name} {seconds:.2f} {peak:.0f} {status}", file=f)
sys.exit(status)
