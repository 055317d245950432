"""A clinician's whole way: log in, ask, wait, train on CT of the cloud, look, stop; and what the node shows afterwards."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from ctlab import Cohort, dice, load_labels, load_model

from enclave import presets
from testbed.site import Testbed
from tests.e2e.nodes import held, left_behind, wait_until_empty

pytestmark = [pytest.mark.site, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
RUN_ALL = 600
"""Seconds after which the tutorial is given up: twice what it may take on two cores that nobody else uses (docs/benchmarks.md)."""

SLOW_MS = 300
"""A round trip that makes the mount take seconds."""

WORDS = {
    "en": ("Your request was handed to the computing centre.", "Your cloud area is being opened."),
    "ja": ("計算センターに開始を申し込みました。", "クラウド領域を開いています。"),
}
"""Some of what the waiting page says."""

SECTION = {"en": "Tutorials", "ja": "チュートリアル"}
LUNG = {"en": "lung", "ja": "肺"}
"""The one structure of the phantoms, as the network knows it that was trained in that language."""
FIRST_S, FIRST_CLICKS = 180, 6
"""From an open browser to the first segmentation in sight, a slow mount included; nothing is chosen in the form."""
OTHERS = {
    "ja": ("00_welcome.ipynb", "02_look_and_correct.ipynb", "03_own_dicom.ipynb", "05_lungs_report.ipynb"),
    "en": ("04_long_runs.ipynb", "05_lungs_report.ipynb", "06_link.ipynb"),
}
"""Which of the other tutorials are run in the browser, on the mount; tests/notebooks has the other languages."""


def own_files(site: Testbed, account: str) -> set[str]:
    """Paths below the own area of a cloud account, on the cloud's disk."""
    return set(site.run("cloud", ["find", f"/srv/cloud/people/{account}", "-type", "f"], check=True).stdout.split())


def check_predictions(training: Path, phantoms: Path, lung: str) -> None:
    """What the first tutorial left on the cloud's disk: its network finds its one structure, `lung`, in each new phantom."""
    model = load_model(training / "best.pt")
    assert model.names == {1: lung}
    cases = Cohort(phantoms).val
    assert len(cases) == 3
    for case in cases:
        ct, truth = case.load()
        prediction = load_labels(training / "predictions" / f"{case.name}.nii.gz", model.names)
        prediction.check_fits(ct)
        assert np.allclose(prediction.geometry.affine, ct.geometry.affine)
        assert dice(truth, prediction)[1] >= 0.9


def check_report(path: Path) -> None:
    """The table of tutorial 05, with the DICOM segmentation of the scan that came as DICOM beside it."""
    with path.open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == ["case-009", "case-010", "case-011", "chest", "chest-dicom"]
    assert all(500 < float(row["lungs_ml"]) < 12_000 for row in rows)
    assert (path.parent / "chest-dicom.seg.dcm").is_file()


@pytest.mark.parametrize(
    ("language", "person", "account"), [("ja", "tanaka", "jrs0017"), ("en", "suzuki", "jrs0023")], ids=["ja", "en"]
)
def test_from_the_login_to_a_trained_network_and_nothing_left(visitor, site_with_hub, language, person, account):
    site = site_with_hub
    folder = f"people/{account}/tutorials"
    tutorial = f"{folder}/01_vnet_tutorial.ipynb"
    cards = presets.cards(ROOT / "notebooks" / language)
    before, on_nodes = own_files(site, account), held(site)
    usual = site.round_trips["cloud"]
    begun = time.monotonic()
    page = visitor(person, language)
    page.choose(destination="cloud", gpus=1, hours=1)
    page.picture("form")
    # As it is, a session may be there before the browser has asked for the waiting page.
    site.delay(SLOW_MS, "cloud")
    page.press_start()
    seen = page.wait_for_lab()
    site.delay(usual, "cloud")
    assert set(WORDS[language]) <= set(seen)

    assert page.cards(SECTION[language]) == [each.title for each in cards]
    page.picture("launcher")
    page.press_card(next(each.title for each in cards if each.file == "01_vnet_tutorial.ipynb"))
    page.run_all()
    page.get(".jp-OutputArea-output .ctlab-viewer:has(.ctlab-pane)", FIRST_S)
    page.shown(page.slice_view(0))
    assert time.monotonic() - begun <= FIRST_S
    assert page.clicks() <= FIRST_CLICKS
    page.wait_until_run(tutorial, RUN_ALL)
    page.slice_view(0)
    page.picture("ct")
    page.scroll_to(".jp-RenderedImage img", 0)
    page.picture("tutorial")
    prediction = page.slice_view(-1)
    page.picture("overlay")
    first = page.shown(prediction)
    assert page.move(prediction) != first
    for name in OTHERS[language]:
        page.open_tutorial(f"{folder}/{name}")
        page.run_all()
        page.wait_until_run(f"{folder}/{name}", RUN_ALL)
    assert page.hosts() == {site.url.removeprefix("http://")}

    made = own_files(site, account) - before
    (network,) = (path for path in made if path.endswith("/training/best.pt"))
    phantoms = site.host("cloud").path("/srv/cloud/datasets/phantom-chest")
    check_predictions(site.host("cloud").path(network).parent, phantoms, LUNG[language])
    check_report(site.host("cloud").path(next(path for path in made if path.endswith("/tutorial-05/report.csv"))))

    page.stop()
    wait_until_empty(site)
    assert left_behind(site, person, on_nodes) == set()
