"""A cohort at a glance: the numbers are those of its files, the page is one that a strict browser shows."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from ctlab.cohort import Cohort
from ctlab.facts import BIN_HU, HIGHEST_HU, LOWEST_HU, THUMBNAIL, facts_of, histogram
from ctlab.geometry import Geometry
from ctlab.packing import pack
from ctlab.volume import Labels, Volume
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from tests.ctlab.samples import chest, write_case


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    """Two cases for training, one of which lacks its labels, and one for validation; one has a name to be careful with."""
    for name in ("train/a", "train/<b>", "val/d"):
        write_case(tmp_path / "lungs" / name)
    (tmp_path / "lungs" / "train" / "a" / "label.nii.gz").unlink()
    names = {"1": {"en": "right lung", "ja": "右肺"}, "9": {"en": "liver & bile", "ja": "肝臓"}}
    (tmp_path / "lungs" / "labels.json").write_text(json.dumps(names), "utf-8")
    return Cohort(tmp_path / "lungs")


class Page(HTMLParser):
    """Elements, and the texts of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_it_says_what_the_files_hold(cohort):
    report = cohort.report()
    lines = repr(report).splitlines()
    right = chest().labels.volume_ml(1)

    assert lines[0] == "1 training and 1 validation cases can be used, 1 can't."
    assert lines[2] == f"1 right lung\t2 of 2\t{right:.1f}\t{right:.1f}\t{right:.1f}"
    assert "9 liver & bile\t0 of 2\t–\t–\t–" in lines
    assert lines[-1] == "left out: a: there is no label image (label.nii.gz)."
    assert [case.name for case in report.cases] == ["<b>", "d"]
    assert report.cases[0].spacing == pytest.approx(chest().ct.geometry.spacing, abs=1e-3)
    assert report.cases[0].ml == pytest.approx({value: chest().labels.volume_ml(value) for value in (1, 2, 3)}, rel=1e-3)


def test_the_page_has_no_script_and_asks_nobody_for_anything(cohort):
    page = Page(cohort.report()._repr_html_())
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]

    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "style", "a"})
    assert all(attributes["src"].startswith("data:image/png;base64,") and attributes["alt"] for attributes in pictures)
    assert [name for _, attributes in page.elements for name in attributes if name.startswith("on")] == []
    assert page.open == []
    assert len(pictures) == 3, "a histogram and two cases"
    assert {"<b>", "d", "9 liver & bile"} <= set(page.texts)


def test_it_speaks_japanese(cohort, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")
    page = Page(Cohort(cohort.folder).report()._repr_html_())

    assert page.elements[0] == ("div", {"lang": "ja"})
    assert "1 右肺" in page.texts
    assert not [text for text in page.texts if re.search(r"\b(voxels|spacing|cases|volume)\b", text)]


def test_a_packed_cohort_has_the_same_report(cohort, tmp_path):
    pack(cohort, tmp_path / "packed", show=lambda _: None)
    here, packed = cohort.report(), Cohort(tmp_path / "packed").report()

    assert repr(packed).splitlines()[1:] == repr(here).splitlines()[1:-1]
    assert [case.thumbnail for case in packed.cases] == [case.thumbnail for case in here.cases]


def test_cases_that_call_one_number_differently_are_seen(cohort):
    (cohort.folder / "train" / "<b>" / "labels.json").write_text(json.dumps({"1": "sarcoma"}), "utf-8")

    assert "1 right lung / sarcoma\t2 of 2" in repr(Cohort(cohort.folder).report())


def test_it_is_saved_as_a_page(cohort, tmp_path):
    page = cohort.report().save(tmp_path / "report.html").read_text("utf-8")

    assert page.startswith('<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>lungs</title>')
    assert Page(page).open == []


@given(hnp.arrays(np.int16, (3, 4, 5)))
def test_every_voxel_is_in_the_histogram_once(voxels):
    parts = histogram(voxels)
    clipped = np.clip(voxels, LOWEST_HU, HIGHEST_HU - 1)

    assert parts.sum() == pytest.approx(1)
    for index in np.flatnonzero(parts):
        low = LOWEST_HU + BIN_HU * index
        assert parts[index] == pytest.approx(((clipped >= low) & (clipped < low + BIN_HU)).mean())


def picture_of(labels: np.ndarray) -> np.ndarray:
    geometry = Geometry((40, 30, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
    ct = Volume(np.full(geometry.shape, -1000, np.int16), geometry, "case")
    with Image.open(io.BytesIO(facts_of("train", ct, Labels(labels, geometry, "case")).thumbnail)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_thumbnail_shows_the_labels_where_they_are():
    labels = np.zeros((40, 30, 20), np.uint8)
    labels[30:, 25, 15:] = 1  # to the patient's right, near the head
    pixels = picture_of(labels)
    lit = pixels.sum(axis=2) > 60

    assert pixels.shape[:2] == (THUMBNAIL, THUMBNAIL), "40 mm by 40 mm"
    assert lit[: THUMBNAIL // 5, : THUMBNAIL // 5].all()
    assert not lit[THUMBNAIL // 2 :].any()
    assert not lit[:, THUMBNAIL // 2 :].any()


def test_an_empty_label_image_has_a_thumbnail_too():
    assert picture_of(np.zeros((40, 30, 20), np.uint8)).max() == 0


def test_pictures_are_small(cohort):
    sizes = [len(case.thumbnail) for case in cohort.report().cases]

    assert max(sizes) < 12_000
    assert len(base64.b64encode(b"".join(case.thumbnail for case in cohort.report().cases))) < 40_000
