"""The image files, and reading them ahead."""

from __future__ import annotations

import numpy as np
import pytest

from linkbench.images import decoded, image
from linkbench.networks import NETWORKS
from linkbench.passes import Reader, timed_reading


@pytest.mark.parametrize("number", range(6))
def test_a_file_has_about_30_kb_and_is_an_image(number):
    kind, data = image(number)
    assert kind == ("png", "jpeg")[number % 2]
    assert 25_000 < len(data) < 35_000
    grey = decoded(data, 64)
    assert grey.shape == (64, 64)
    assert grey.dtype == np.float32
    assert 0 <= grey.min() < grey.max() <= 1


def test_each_number_is_another_image_and_always_the_same():
    assert image(3) == image(3)
    assert len({image(number)[1] for number in range(6)}) == 6


def test_there_are_seventeen_networks_of_different_kinds():
    assert len({each.name for each in NETWORKS}) == len({each.kind for each in NETWORKS}) == 17


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_images_come_in_the_order_of_their_names(tmp_path, ahead):
    for number in range(7):
        (tmp_path / f"{number}.png").write_bytes(image(number)[1])
    found = list(Reader(tmp_path, side=64, readers=3, ahead=ahead))
    assert all(np.array_equal(one, decoded(image(number)[1], 64)) for number, one in enumerate(found))
    assert timed_reading(tmp_path, side=0, readers=1, ahead=1) > 0


def test_a_file_that_is_no_image_ends_the_pass(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot identify"):
        list(Reader(tmp_path, side=64, readers=2, ahead=4))
