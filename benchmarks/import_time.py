"""How long `import knobo` takes, beside packages that it rests on.

    python benchmarks/import_time.py [--runs 9]

Each run is a new interpreter; the time of an empty one is taken off. Prints medians in seconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "import knobo": "import knobo",
    "knobo.ConceptBank": "import knobo; knobo.ConceptBank",
    "knobo.ConceptBottleneckClassifier": "import knobo; knobo.ConceptBottleneckClassifier",
    "knobo.cli (knobo --help)": "import knobo.cli",
    "import sklearn.linear_model": "import sklearn.linear_model",
    "import open_clip": "import open_clip",
}


def seconds(statement: str) -> float:
    """Wall time of a new interpreter that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Time every statement in turn, round by round, so that a busy moment touches all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    rounds = [{name: seconds(code) for name, code in {"": "pass", **STATEMENTS}.items()} for _ in range(runs + 1)][1:]
    for name in STATEMENTS:
        print(f"{name:36s}{statistics.median(r[name] - r[''] for r in rounds):8.3f} s   (median of {runs})")


if __name__ == "__main__":
    main()
