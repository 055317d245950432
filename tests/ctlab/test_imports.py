"""What a name of the library needs is imported when it is used, and a name never means another thing than its module says."""

from __future__ import annotations

import json
import pkgutil
import pydoc
import subprocess
import sys
from pathlib import Path

import ctlab
import pytest
from ctlab.packed import ENDING, write_packed
from IPython.core.completer import IPCompleter, provisionalcompleter

from tests.ctlab.samples import chest, series, write_nifti, write_series

HEAVY = {"torch", "monai", "onnx", "onnxscript", "onnxruntime", "tensorboardX", "highdicom", "matplotlib", "scipy", "pandas"}
"""None of these belongs to looking at a CT."""
READERS = {"numpy", "nibabel", "pydicom", "SimpleITK", "numcodecs", "PIL", "ipywidgets", "IPython"}
"""None of these belongs to the package itself."""
MODULES = [each.name for each in pkgutil.walk_packages(ctlab.__path__, "ctlab.")]
LOOK = """
import io, json, sys
import ctlab
viewer = ctlab.view(sys.argv[1])
heard = []
viewer.send = lambda content, buffers=None: heard.append((content, buffers))
panes = [{"plane": "axial"}, {"plane": "coronal"}, {"plane": "sagittal"}]
viewer._handle_custom_msg({"view": "one", "number": 7, "do": "see", "panes": panes, "exact": True, "state": {}}, [])
viewer._desk.whole()
assert [told["is"] for told, _ in heard if told["is"] != "arriving"] == ["frame"]
"""
NAMES = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
import ctlab
found = {name: getattr(getattr(ctlab, name), "__module__", "") for name in ctlab.__all__}
"""

FIRST = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ctlab"]:
        del sys.modules[name]
    importlib.import_module(module)
print("well")
"""

LACKING = """
import sys
sys.modules["torch"] = None
import ctlab
try:
    ctlab.loss
except ModuleNotFoundError as error:
    print(error.name)
"""


def loaded(program: str, *arguments: str | Path) -> set[str]:
    """Which top-level modules a process of its own has after `program`."""
    tell = "\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    return set(json.loads(said(f"import json, sys\n{program}{tell}", *arguments)))


def said(program: str, *arguments: str | Path) -> str:
    """The last line of what `program` prints."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(params=["packed", "dicom", "nifti"])
def path(request, tmp_path) -> Path:
    """The chest, as people have it."""
    if request.param == "packed":
        write_packed(tmp_path / f"case{ENDING}", chest().ct, chest().labels, {"1": "lung"}, ())
        return tmp_path / f"case{ENDING}"
    if request.param == "nifti":
        return write_nifti(tmp_path / "ct.nii.gz", chest().ct.voxels, chest().ct.geometry, "LPS")
    write_series(tmp_path, series())
    return tmp_path


def test_the_package_alone_loads_nothing_that_takes_time():
    assert loaded("import ctlab").isdisjoint(HEAVY | READERS)


def test_who_looks_at_a_ct_does_not_load_what_trains_networks(path):
    there = loaded(LOOK, path)
    assert there.isdisjoint(HEAVY)
    assert "ipywidgets" in there


def test_who_asks_for_the_time_left_or_the_storage_loads_nothing_that_takes_time():
    assert loaded("import ctlab; ctlab.deadline(), ctlab.should_stop(), ctlab.storage_status()").isdisjoint(HEAVY | READERS)


def test_no_module_is_called_as_a_public_name():
    """Importing it would put the module in the name's place, in some orders of imports and in others not."""
    assert [name for name in MODULES if name.removeprefix("ctlab.") in ctlab.__all__] == []


def test_names_are_what_they_were_whichever_modules_were_imported_before():
    at_once, after_all = (json.loads(said(f"{NAMES}\nprint(json.dumps(found))", json.dumps(each))) for each in ([], MODULES))
    assert at_once == after_all
    assert set(at_once) == set(ctlab.__all__)
    assert at_once["pack"] == "ctlab.packing"


def test_each_module_can_be_the_first_that_is_imported():
    """What the package no longer imports in one order must not be a circle in another."""
    assert said(FIRST, json.dumps(MODULES)) == "well"


def test_a_module_is_there_without_being_imported_by_name():
    assert said("import ctlab; print(ctlab.viewing.windows.WINDOWS['lung'])") == str(ctlab.viewing.windows.WINDOWS["lung"])


def test_a_star_brings_all_of_it():
    assert said("from ctlab import *; print(pack.__module__, view.__module__)") == "ctlab.packing ctlab.viewer"


@pytest.mark.parametrize("name", ["vieww", "torch", "no_such", "_private", "__wrapped__"])
def test_a_name_that_is_not_there_is_none(name):
    assert not hasattr(ctlab, name)
    with pytest.raises(ImportError):
        exec(f"from ctlab import {name}", {})  # noqa: S102  (what a cell does)


def test_a_module_that_cannot_be_imported_says_what_it_lacks():
    assert said(LACKING) == "torch"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect", "ignore::DeprecationWarning:pydoc")
def test_help_and_the_tab_key_know_all_names():
    page = pydoc.plain(pydoc.render_doc(ctlab))
    assert "view(ct:" in page
    assert "class Cohort(" in page
    completer = IPCompleter(shell=None, namespace={"ctlab": ctlab})
    with provisionalcompleter():
        offered = {each.text.removeprefix(".") for each in completer.completions("ctlab.", 6)}
    assert set(ctlab.__all__) <= offered
