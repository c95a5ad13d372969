"""
tests/e2e/conftest.py as the module e2e, for the suites beside it: pytest calls
each suite's own file conftest, so it cannot be imported by that name.
"""

import importlib.util
import pathlib
import sys


def load():
    folder = pathlib.Path(__file__).resolve().parent / "e2e"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("e2e",
                                                  folder / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["e2e"] = module
    spec.loader.exec_module(module)
    return module
