"""`python -m ipcx`: the command that came with this package."""

import os
import sys
from importlib.metadata import PackageNotFoundError, files


def main() -> None:
    try:
        installed = files("ipcx") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == "ipcx" and file.parent.name == "bin":
            os.execv(str(file.locate()), ["ipcx", *sys.argv[1:]])
    sys.exit("ipcx: this installation has no command: install a wheel, or run `make cli`")


if __name__ == "__main__":
    main()
