"""Real photographs that the wheels of scikit-image and scikit-learn carry: something to look at without a download.

Their licences and sources are listed in the two projects' documentation (public domain, CC0 or CC BY).
"""

import importlib.util
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage

# Only files inside the wheels: skimage.data's other names are downloads, and its drawings and test charts are
# not photographs. Of the stereo pair only the left image is listed.
COLOUR = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "ihc": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
GRAY = {
    "brick": ("skimage", "data/brick.png"),
    "camera": ("skimage", "data/camera.png"),
    "cell": ("skimage", "data/cell.png"),
    "clock": ("skimage", "data/clock_motion.png"),
    "coins": ("skimage", "data/coins.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "moon": ("skimage", "data/moon.png"),
    "page": ("skimage", "data/page.png"),
    "text": ("skimage", "data/text.png"),
}


def photographs() -> dict[str, Path]:
    """Name -> file of every photograph in the installed wheels: those of `COLOUR`, then those of `GRAY`.

    `read_image` turns the gray ones into RGB of three equal channels. Nothing is imported and nothing is downloaded.

    Raises:
        MissingPackage: if one of the two is not installed. With half of the photographs, other images would be trained on.
        UserError: if a wheel has no images.
    """
    found = {}
    for name, (package, file) in (COLOUR | GRAY).items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise MissingPackage(package, "data", "embedded")
        for folder in spec.submodule_search_locations or ():
            if (path := Path(folder) / file).is_file():
                found[name] = path
    if not found:
        raise UserError("embedded: no photographs here; install scikit-image and scikit-learn again, which carry them")
    return found
