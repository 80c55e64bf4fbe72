"""A number of a cell, quoted in a sentence of its chapter.

It leaves in a notebook what MyST-NB's ``glue`` leaves, and the book's builder finds it there. MyST-NB itself would bring Sphinx
to everyone who only runs a chapter.
"""

import numpy as np

from clicv2lite.extras import extra

with extra("notebooks"):
    from IPython.core.formatters import format_display_data
    from IPython.display import publish_display_data

PREFIX = "application/papermill.record/"


def glue(name: str, value: object) -> None:
    """Keep how a value is shown, under a name; nothing appears below the cell.

    Args:
        name: of one value in a chapter. The role ``glue:text`` quotes it in a sentence; a number with a format: ``name:.2f``.
        value: a number, a text or anything else that a notebook can show. A number of NumPy is kept as Python's: shown as
            ``np.float64(0.5)``, it could not be formatted.
    """
    if isinstance(value, np.generic):
        value = value.item()
    data, metadata = format_display_data(value)
    record = {"name": name, "mime_prefix": PREFIX}
    publish_display_data({PREFIX + kind: shown for kind, shown in data.items()}, {**metadata, "scrapbook": record})
