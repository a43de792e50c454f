"""The process in which `ceilings` measures, with as many threads as its argument says: one JSON object."""

import sys

from galago.bench.ceilings import measure_here

if __name__ == "__main__":
    sys.stdout.write(measure_here(int(sys.argv[1])).to_json() + "\n")
