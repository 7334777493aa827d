"""help(ipcx) says something about everything, and fits a terminal."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import ipcx

# What help() puts before each line of a text, in columns.
INDENT = {"module": 4, "class": 8, "member": 12}


def documented() -> Iterator[tuple[str, str, Any]]:
    yield "module", "ipcx", ipcx
    for name in ipcx.__all__:
        thing = getattr(ipcx, name)
        if not inspect.isclass(thing):
            if callable(thing):
                yield "class", name, thing
            continue
        yield "class", name, thing
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, staticmethod) or inspect.isdatadescriptor(value)):
                yield "member", f"{name}.{member}", value


THINGS = list(documented())


@pytest.mark.parametrize(("kind", "name", "thing"), THINGS, ids=[name for _, name, _ in THINGS])
def test_it_has_a_text_that_fits(kind: str, name: str, thing: Any) -> None:
    text = inspect.getdoc(thing)
    assert text, f"{name} has no text"
    wide = [line for line in text.splitlines() if len(line) + INDENT[kind] > 80]
    assert not wide, f"{name}: wider than 80 columns in help()"
