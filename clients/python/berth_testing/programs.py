"""Where berth-server and berth-device are, and how to run them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Optional, Union

from .errors import ProgramNotFound

Program = Union[str, os.PathLike[str]]

_BUILDS = ("build/release", "build/dev")


def find(name: str, given: Optional[Program], variable: str, beside: Optional[Path] = None) -> Path:
    """The program that was given, else that of the environment variable, else one beside another, in $PATH, or in a
    build directory of this directory or one above."""
    named = given if given is not None else os.environ.get(variable)
    if named:
        found = shutil.which(os.fspath(named))
        if found is None:
            raise ProgramNotFound(f"{os.fspath(named)} is no program that can be run")
        return Path(found).resolve()
    if beside is not None and _runs(beside.parent / name):
        return beside.parent / name
    found = shutil.which(name)
    if found is not None:
        return Path(found).resolve()
    for directory in (Path.cwd(), *Path.cwd().parents):
        for build in _BUILDS:
            if _runs(directory / build / name):
                return directory / build / name
    raise ProgramNotFound(
        f"there is no {name} in $PATH, nor in {' or '.join(_BUILDS)} of {Path.cwd()} or above: put its directory into "
        f"$PATH, or name it with ${variable}"
    )


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def environment(more: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """Ours without BERTH_…, which are options of the programs; what a test says is in its code."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
    return {**ours, **(more or {})}
