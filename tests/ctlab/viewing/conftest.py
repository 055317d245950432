"""A whole page with the viewer, opened once for all tests that look at it as it is on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ctlab.viewing.lab import Reader, reading

CELL = """
import ctlab
from tests.ctlab.viewing.samples import chest
ct, predicted, truth = chest()
ctlab.view(ct, predicted, compare=truth)
"""


def _page(request: pytest.FixtureRequest, folder: Path, language: str) -> Iterator[Reader]:
    wanted = request.config.getoption("--pictures")
    with reading(folder, CELL, Path(wanted).resolve() if wanted else folder / "pictures", language) as reader:
        # High enough for all of the viewer with its sections open.
        screen = {"width": 1360, "height": 1900, "deviceScaleFactor": 1, "mobile": False}
        reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        reader.rest()
        yield reader


@pytest.fixture(scope="package")
def english_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In English."""
    yield from _page(request, tmp_path_factory.mktemp("page"), "en")


@pytest.fixture(scope="package")
def japanese_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In Japanese."""
    yield from _page(request, tmp_path_factory.mktemp("page"), "ja")
