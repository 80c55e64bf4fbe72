"""`clicv2lite` with shards of 16 images; it kills itself before a shard of the name in DIE_AT (used by test_imagenet)."""

import os
import signal
import sys

from clicv2lite.cli import main
from clicv2lite.probe import feature_shards

if __name__ == "__main__":
    feature_shards.ROWS = 16
    write = feature_shards.atomic

    def atomic(path):
        if path.name == os.environ.get("DIE_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path)

    feature_shards.atomic = atomic
    sys.exit(main(sys.argv[1:]))
