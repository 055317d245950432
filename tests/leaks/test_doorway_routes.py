"""Every route × method of the notebook server, as the installed versions have them: which pass the doorway, and which do not.

A route that a new version brings is in no row here: the test fails until somebody has decided about it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.routes import IMAGE_LIMIT, NOTEBOOK_LIMIT, NoRouteError, find
from enclave.wire import path_allowed
from tests.enclave.lab import BASE, ROOT
from tests.leaks.handler_table import METHODS

ID = "01234567-89ab-cdef-0123-456789abcdef"
_U = r"\w+-\w+-\w+-\w+-\w+"
_P = r"(?P<path>(?:(?:/[^/]+)+|/?))"

DECIDED: dict[str, tuple[str, str]] = {
    # pattern of the server, below the session's own prefix → an address that it serves, and the methods that pass
    r"(?P<mode>lab|doc)(?P<workspace>/workspaces/[a-zA-Z0-9\-\_]+)?(?P<tree>/tree/.*)?$": ("lab/tree/a/b.ipynb", "GET HEAD"),
    r"static/(.*)$": ("static/style/x.css", "GET HEAD"),
    r"static/lab/(.*)$": ("static/lab/main.js", "GET HEAD"),
    r"custom/(.*)(?<!\.js)$": ("custom/custom.css", "GET HEAD"),
    r"lab/extensions/(.*)$": ("lab/extensions/@jupyter-widgets/jupyterlab-manager/static/x.js", "GET HEAD"),
    r"lab/api/themes/(.*)$": ("lab/api/themes/@jupyterlab/theme-light-extension/index.css", "GET HEAD"),
    r"lab/api/settings/?$": ("lab/api/settings", "GET"),
    r"lab/api/settings/(?P<schema_name>.+)$": ("lab/api/settings/@jupyterlab/notebook-extension:panel", "GET PUT"),
    r"lab/api/translations/?$": ("lab/api/translations", "GET"),
    r"lab/api/translations/(?P<locale>.*)$": ("lab/api/translations/ja_JP", "GET"),
    r"lab/api/workspaces/?$": ("lab/api/workspaces", "GET"),
    r"lab/api/workspaces/(?P<space_name>.+)$": ("lab/api/workspaces/default", "GET PUT DELETE"),
    r"kernelspecs/(?P<kernel_name>[\w\.\-%]+)/(?P<path>.*)$": ("kernelspecs/ct/logo-64x64.png", "GET HEAD"),
    r"logout$": ("logout", "GET"),
    r"oauth_callback$": ("oauth_callback", "GET"),
    r"?$": ("", "GET HEAD"),
    r"api$": ("api", "GET HEAD"),
    r"api/status$": ("api/status", "GET"),
    r"api/me$": ("api/me", "GET"),
    r"api/config/(?P<section_name>\w+)$": ("api/config/notebook", "GET"),
    rf"api/contents{_P}$": ("api/contents/people/a.ipynb", "GET POST PUT PATCH DELETE"),
    rf"api/contents{_P}/checkpoints$": ("api/contents/people/a.ipynb/checkpoints", "GET POST"),
    rf"api/contents{_P}/checkpoints/(?P<checkpoint_id>[\w-]+)$": (
        "api/contents/people/a.ipynb/checkpoints/checkpoint",
        "POST DELETE",
    ),
    rf"api/contents{_P}/trust$": ("api/contents/people/a.ipynb/trust", "POST"),
    r"api/kernels$": ("api/kernels", "GET POST"),
    rf"api/kernels/(?P<kernel_id>{_U})$": (f"api/kernels/{ID}", "GET DELETE"),
    rf"api/kernels/(?P<kernel_id>{_U})/(?P<action>restart|interrupt)$": (f"api/kernels/{ID}/restart", "POST"),
    rf"api/kernels/(?P<kernel_id>{_U})/channels$": (f"api/kernels/{ID}/channels", "websocket"),
    r"api/kernelspecs$": ("api/kernelspecs", "GET"),
    r"api/kernelspecs/(?P<kernel_name>[\w\.\-%]+)$": ("api/kernelspecs/ct", "GET"),
    r"api/sessions$": ("api/sessions", "GET POST"),
    rf"api/sessions/(?P<session_id>{_U})$": (f"api/sessions/{ID}", "GET PATCH DELETE"),
    r"api/events/subscribe$": ("api/events/subscribe", "websocket"),
    # Not let in: whole files, other formats, what asks the Internet or changes the installation, what tells about the node,
    # a second way to end the session, and what nobody asks for.
    r"lab/api/build$": ("lab/api/build", ""),
    r"lab/api/extensions$": ("lab/api/extensions", ""),
    r"lab/api/plugins$": ("lab/api/plugins", ""),
    r"lab/api/update$": ("lab/api/update", ""),
    r"lab/api/news$": ("lab/api/news", ""),
    r"lab/api/listings/(.*)$": ("lab/api/listings/blocked_extensions.json", ""),
    r"lab/api/licenses/(.*)$": ("lab/api/licenses/report", ""),
    r"lab/.*$": ("lab/other", ""),
    r"api/spec.yaml$": ("api/spec.yaml", ""),
    r"api/resolvePath$": ("api/resolvePath", ""),
    r"api/notebooks/?(.*)$": ("api/notebooks/a.ipynb", ""),
    r"api/security/csp-report$": ("api/security/csp-report", ""),
    r"api/shutdown$": ("api/shutdown", ""),
    r"api/events$": ("api/events", ""),
    r".*/$": ("anything/", ""),
    r"(robots\.txt|favicon\.ico)$": ("robots.txt", ""),
    r"metrics$": ("metrics", ""),
}
OUTSIDE = {r"/(robots\.txt)$", r"/(favicon\.ico)$", r"(.*)$"}
"""Patterns that are not below the session's prefix, where nothing passes."""
GONE = (
    "files/a.nii.gz", "view/a.html", "nbconvert/html/a.ipynb", "api/nbconvert", "api/terminals", "api/terminals/1", "terminals/1",
    "terminals/websocket/1", "tree/a", "notebooks/a.ipynb", "edit/a", "lsp/status", "login", "custom/custom.js", "proxy/8080/",
    "api/contents/a/../../files/b", "%66iles/a", "api/terminals%2f1", "files%2fa", "lab/../files/a", "static/", "api//contents",
)  # fmt: skip
"""What other servers have, or had, or what only looks like something else."""


@pytest.fixture(scope="module")
def table() -> list[tuple[str, list[str]]]:
    command = [sys.executable, "-m", "tests.leaks.handler_table"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return [(pattern, methods) for pattern, methods in json.loads(done.stdout)]


def passes(method: str, address: str, *, websocket: bool = False) -> bool:
    target = BASE + address
    if not path_allowed(target, BASE):
        return False
    try:
        find(method, target, BASE, websocket=websocket)
    except NoRouteError:
        return False
    return True


def test_somebody_has_decided_about_every_route_that_the_server_has(table):
    below = {pattern.removeprefix(BASE) for pattern, _ in table if pattern not in OUTSIDE}
    assert below == set(DECIDED)


def test_no_route_hands_out_whole_files(table):
    assert not [pattern for pattern, _ in table if "files" in pattern or "view" in pattern or "nbconvert" in pattern]


@pytest.mark.parametrize(("address", "methods"), DECIDED.values(), ids=[address or "/" for address, _ in DECIDED.values()])
def test_each_method_of_each_route(address, methods):
    found = [method for method in METHODS if passes(method, address)]
    found += ["websocket"] if passes("GET", address, websocket=True) else []
    assert found == methods.split()


@pytest.mark.parametrize("address", GONE)
def test_what_is_gone(address):
    assert not [method for method in METHODS if passes(method, address) or passes(method, address, websocket=True)]


@pytest.mark.parametrize(
    "query", ["download=1", "content=1&path=/etc", "format=base64&format=text&x", "token=x", "1234567890123456789"]
)
def test_a_parameter_that_nobody_needs_is_no_address(query):
    assert not passes("GET", f"api/contents/a?{query}")


def test_what_the_lab_asks_for_passes():
    for query in ("type=notebook&content=1&hash=1&contentProviderId=undefined&1795558710306", "content=0&hash=0", "1795558710306"):
        assert passes("GET", f"api/contents/a?{query}")


def test_a_file_as_base64_is_a_picture_and_no_volume():
    assert find("GET", f"{BASE}api/contents/a.png?type=file&format=base64&content=1", BASE).limit == IMAGE_LIMIT
    assert find("GET", f"{BASE}api/contents/a.ipynb?type=notebook&content=1", BASE).limit == NOTEBOOK_LIMIT


def test_the_doorway_s_own_address_is_asked_by_get_alone_and_takes_no_parameter():
    assert [method for method in METHODS if passes(method, "renkei/time")] == ["GET"]
    assert not passes("GET", "renkei/time", websocket=True)
    for address in ("renkei/time?left=9", "renkei/time/", "renkei/times", "renkei/notice", "renkei"):
        assert not passes("GET", address)
    assert find("GET", f"{BASE}renkei/time", BASE).own
    assert not any(find("GET", BASE + address, BASE).own for address, methods in DECIDED.values() if "GET" in methods)


@given(st.text(st.sampled_from("abcdefiles/%.2F?&=viewnbconvrt"), max_size=40))
def test_whatever_passes_is_below_a_known_folder(text):
    if passes("GET", text):
        first = text.partition("?")[0].split("/")[0]
        assert first in {"", "lab", "doc", "static", "kernelspecs", "api", "oauth_callback", "logout", "renkei"}
