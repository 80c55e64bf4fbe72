import socket
import subprocess
import sys

import numpy as np
import pytest

from clicv2lite.data import embedded
from clicv2lite.data.embedded import COLOUR, GRAY, photographs
from clicv2lite.data.images import read_image
from clicv2lite.errors import UserError


def test_every_listed_photograph_is_there_and_colour_comes_first():
    assert list(photographs()) == [*COLOUR, *GRAY]


@pytest.mark.parametrize("name", [*COLOUR, *GRAY])
def test_a_photograph_is_a_picture_with_the_colours_claimed(name, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # nothing may be fetched
    pixels = np.asarray(read_image(photographs()[name])).astype(int)
    assert min(pixels.shape[:2]) > 150 and pixels.std() > 5
    assert (np.ptp(pixels, axis=-1).max() > 30) == (name in COLOUR)


def test_listing_imports_neither_package():
    code = "import sys; from clicv2lite.data.embedded import photographs; photographs(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "clicv2lite.data.embedded" in out and not {"skimage", "sklearn", "torch", "pooch"} & set(out)


def test_without_the_wheels_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"embedded needs the package scikit-image, .*'\.\[data\]'"):
        photographs()
