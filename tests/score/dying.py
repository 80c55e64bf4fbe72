"""`clicv2lite`; before a worker of Ray writes the part DIE_AT, it kills WHO (used by test_on_ray).

WHO is `worker`, which it kills once, `workers`, always, or `driver`. The file MARK says that it happened.
"""

import os
import signal
import sys
from pathlib import Path

from clicv2lite.cli import main
from clicv2lite.score import on_ray

PLAN = {name: os.environ[name] for name in ("DIE_AT", "WHO", "MARK")} | {"DRIVER": str(os.getpid())}


class Dying:
    """A worker that kills."""

    def __init__(self, worker):
        from clicv2lite.score import on_ray as here  # the worker's own module, where nothing is replaced

        self.here, self.scorer = here, here.Scorer(worker)

    def __call__(self, item):
        here = self.here
        write = here.write_part

        def deadly(part, *rest):
            mark = Path(PLAN["MARK"])
            if part.path.name == PLAN["DIE_AT"] and (PLAN["WHO"] == "workers" or not mark.exists()):
                mark.touch()
                os.kill(int(PLAN["DRIVER"]) if PLAN["WHO"] == "driver" else os.getpid(), signal.SIGKILL)
            write(part, *rest)

        here.write_part = deadly
        try:
            return self.scorer(item)
        finally:
            here.write_part = write


if __name__ == "__main__":
    on_ray.Scorer = Dying
    sys.exit(main(sys.argv[1:]))
