"""What the core of the package weighs: `python -m tests.core PYTHON`, for the python of an environment that holds nothing else.

It prints the packages, their megabytes without torch, and the seconds to a first score.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

LISTED = """
import importlib.metadata as m, json, re
found = {}
for one in m.distributions():
    size = sum(file.locate().stat().st_size for file in one.files or () if file.locate().is_file())
    needs = [re.match(r"[\\w.-]+", line)[0].lower() for line in one.requires or () if "extra ==" not in line]
    found[one.metadata["Name"].lower().replace("_", "-")] = [size, [name.replace("_", "-") for name in needs]]
print(json.dumps(found))
"""


def main(python: str) -> None:
    """Measure the environment of `python`, whose folder above holds picture.png."""
    python = str(Path(python).absolute())  # not resolved: the python of an environment is a link
    folder = Path(python).parents[1]
    found = json.loads(subprocess.run([python, "-c", LISTED], capture_output=True, encoding="utf-8", check=True).stdout)
    own, waiting = {}, ["clicv2lite"]
    while waiting:
        if (name := waiting.pop()) in found and name not in {"torch", *own}:
            own[name], needs = found[name]
            waiting += needs
    seconds = []
    for _ in range(2):  # the first start compiles
        began = time.perf_counter()
        subprocess.run([python, "-m", "clicv2lite", "score", "picture.png"], cwd=folder, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    print(f"{len(found)} packages, {len(own)} of them without torch and what only it needs: {', '.join(sorted(own))}")
    print(f"{sum(own.values()) / 1e6:.0f} MB without torch; first score after {seconds[1]:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1])
