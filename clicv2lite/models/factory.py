"""An encoder of your own code: `module:factory` where an encoder is named (book chapter 8)."""

import importlib
import os
import re
import sys
from typing import Any

from clicv2lite.errors import UserError, one_line

NAMED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_factory(spec: str) -> bool:
    """Whether a name is `module:factory`, and no file has it."""
    return NAMED.fullmatch(spec) is not None and not os.path.lexists(spec)


def call_factory(spec: str) -> Any:
    """What a function of yours returns, called without arguments.

    Args:
        spec: `package.module:function`; modules in the current folder are found, too.

    Raises:
        UserError: if there is no such module or function, or if it fails.
    """
    module, _, name = spec.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)  # a command that pip installed does not look there by itself
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found()
    except UserError:
        raise
    except Exception as error:  # it is the user's code: anything can happen
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise UserError(f"{spec}: cannot be imported and called ({reason}); correct that") from None
    finally:
        sys.path.remove(here)
