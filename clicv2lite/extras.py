"""Packages that only some commands need. Each import of one says which extra of pyproject.toml brings it:

    with extra("train"):
        import timm

`need` does the same for packages that are imported later. Scoring with the model `default` needs none of them. If one is
missing, the error is one line that says what to install.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from clicv2lite.errors import UserError

DISTRIBUTIONS = {"coral_pytorch": "coral-pytorch", "skimage": "scikit-image", "sklearn": "scikit-learn"}
"""Name in an import -> name for pip, where the two differ."""


def install(name: str) -> str:
    """The command that installs an extra: of a checkout, as its README has it, or of the package by its name."""
    source = "." if (Path(__file__).parents[1] / "pyproject.toml").is_file() else "clicv2lite"
    return f"pip install '{source}[{name}]'"


class MissingPackage(UserError, ImportError):
    """A package of an extra is not installed.

    Args:
        package: as it is imported. extra: which brings it.
        who: the option, the address or the function that needs it; by default whatever ran, see `needed_by`.
    """

    def __init__(self, package: str, extra: str, who: str = "") -> None:
        self.package, self.extra, self.who = package, extra, who
        super().__init__(self.needed_by("this part of clicv2lite"))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.package, self.extra, self.who)  # from a process that works for this one

    def needed_by(self, command: str) -> str:
        """The line, for a command."""
        name = DISTRIBUTIONS.get(self.package, self.package)
        return f"{self.who or command} needs the package {name}, which is not installed; {install(self.extra)}"


@contextmanager
def extra(name: str, who: str = "") -> Iterator[None]:
    """Import packages of an extra in this block.

    Args:
        name: of the extra. who: what needs it, if that is not the whole command; see `MissingPackage`.

    Raises:
        MissingPackage: if one is not installed.
        UserError: if one is installed and broken: a torchvision beside the torch of another release, say.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "clicv2lite"):
            raise
        raise MissingPackage(package, name, who) from None
    except UserError:
        raise
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"a package of clicv2lite[{name}] is installed, but cannot be imported ({reason}); perhaps its version does not "
            f"fit that of torch: {install(name)} --upgrade torch"
        ) from error


def need(name: str, *packages: str, who: str = "") -> None:
    """Refuse what an extra lacks now, not after hours of work; arguments and errors as `extra`."""
    with extra(name, who):
        for package in packages:
            import_module(package)
