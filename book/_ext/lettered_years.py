"""Sphinx extension: ``bibtex_default_style: lettered``, labels that keep the letter of a year such as 2020a.

Citations in the text show the year as it stands in references.bib; pybtex's own labels show its last two characters.
"""

from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.alpha import Style
from pybtex.style.labels.alpha import LabelStyle
from sphinx.application import Sphinx


class _Labels(LabelStyle):
    def format_label(self, entry: Any) -> str:
        """``CKNH20a``: initials of the authors, and the year without its century."""
        label, year = str(super().format_label(entry)), entry.fields.get("year", "")
        return label.removesuffix(year[-2:]) + year[2:]


class _Lettered(Style):
    default_label_style = _Labels


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    register_plugin("pybtex.style.formatting", "lettered", _Lettered)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
