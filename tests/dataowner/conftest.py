from __future__ import annotations

from pathlib import Path

import pytest

from tests.dataowner.owners import OwnersSide


@pytest.fixture
def side(tmp_path: Path) -> OwnersSide:
    return OwnersSide(tmp_path)
