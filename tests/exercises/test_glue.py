"""The light `glue` leaves what MyST-NB's leaves, and a chapter needs nothing of the book's builder."""

import subprocess
import sys

import myst_nb
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from clicv2lite.exercises.glue import glue

VALUES = [0.25, 7, "1,024", "a \\ and a ' in it", ["one"], pd.DataFrame({"PCC": [0.5]})]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_it_leaves_in_a_notebook_what_the_books_builder_looks_for(value):
    InteractiveShell.instance()
    left = []
    for keep in (lambda: glue("a-name", value), lambda: myst_nb.glue("a-name", value, display=False)):
        with capture_output() as captured:
            keep()
        (output,) = captured.outputs
        left.append((output.data, output.metadata))
        assert not captured.stdout
    ours, theirs = left
    assert ours == theirs and ours[1]["scrapbook"]["name"] == "a-name"


@pytest.mark.parametrize("value", [np.float64(1 / 3), np.int64(7), np.float32(0.5)], ids=lambda value: type(value).__name__)
def test_a_number_of_numpy_is_kept_as_pythons_which_a_sentence_can_format(value):
    InteractiveShell.instance()
    with capture_output() as captured:
        glue("a-name", value)
    (output,) = captured.outputs
    assert output.data["application/papermill.record/text/plain"] == repr(value.item())
    assert f"{float(repr(value.item())):.2f}" == f"{value:.2f}"


def test_a_reader_who_only_runs_a_chapter_needs_no_sphinx():
    script = "import sys; import clicv2lite.exercises.glue; print({'sphinx', 'myst_nb', 'docutils'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
