"""The process in which `ceilings` measures, threads and bytes being its arguments: one JSON object."""

import sys

from galago.bench.ceilings import measure_here

if __name__ == "__main__":
    sys.stdout.write(measure_here(*map(int, sys.argv[1:])).to_json() + "\n")
