"""Builds the package for pip: maturin, with the `ipcx` command beside the extension module.

maturin builds one or the other of a wheel's two programs. So the command is built first, as a wheel of its own and with the same
arguments (MATURIN_PEP517_ARGS), and its program goes where maturin looks for data of the other wheel.
"""

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import maturin  # type: ignore[import-untyped]
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_DATA = Path("ipcx._ipcx.data")  # where maturin looks
_Settings = Mapping[str, Any] | None


def build_wheel(directory: str, settings: _Settings = None, metadata: str | None = None) -> str:
    with _command(settings):
        return str(maturin.build_wheel(directory, settings, metadata))


def build_editable(directory: str, settings: _Settings = None, metadata: str | None = None) -> str:
    with _command(settings):
        return str(maturin.build_editable(directory, settings, metadata))


@contextmanager
def _command(settings: _Settings) -> Iterator[None]:
    arguments = maturin.get_maturin_pep517_args(settings)
    if "--compatibility" not in arguments:
        arguments = ["--compatibility", "off", *arguments]
    with tempfile.TemporaryDirectory() as out:
        command = ["maturin", "build", "--release", "-b", "bin", "-m", "cli/Cargo.toml", "--out", out, *arguments]
        subprocess.run(command, check=True)
        [wheel] = Path(out).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [program] = [name for name in archive.namelist() if name.endswith(".data/scripts/ipcx")]
            scripts = _DATA / "scripts"
            scripts.mkdir(parents=True, exist_ok=True)
            (scripts / "ipcx").write_bytes(archive.read(program))
    (scripts / "ipcx").chmod(0o755)
    try:
        yield
    finally:
        shutil.rmtree(_DATA)
