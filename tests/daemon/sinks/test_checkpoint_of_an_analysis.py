"""An analysis that goes on from a checkpoint gives bit for bit what it would have given without the cut."""

import numpy as np
import pytest

from fakes.quarter_rings import dark, light
from fakes.remembered_analysis import RECIPE, analysed
from ringwatch_daemon.core.columns import values_from_tracked
from ringwatch_daemon.core.records import Checkpoint
from ringwatch_daemon.sinks.checkpoint_codec import decode_checkpoint, encode_checkpoint
from ringwatch_pipelines.analysis import Analyser

FRAMES = [dark(1), dark(2), *(light(number) for number in range(3, 8))]


def resumed(analyser: Analyser) -> Analyser:
    """Another analyser, with what went through bytes."""
    data, images = encode_checkpoint(0, Checkpoint(analyser.memory(), ()))
    stored = {name: np.array(image) for name, image in images.items()}
    _, checkpoint = decode_checkpoint(data, stored.__getitem__)
    other = Analyser(RECIPE)
    other.recall(checkpoint.memory)
    return other


@pytest.fixture(scope="module")
def whole():
    return analysed(Analyser(RECIPE), FRAMES)


@pytest.mark.parametrize("cut", [1, 2, 4, 5])
def test_wherever_it_is_cut_the_rest_is_the_same(whole, cut):
    analyser = Analyser(RECIPE)
    analysed(analyser, FRAMES[:cut])
    rest = analysed(resumed(analyser), FRAMES[cut:])
    for one, other in zip(whole[cut:], rest, strict=True):
        assert one.dark_index == other.dark_index
        assert one.notices == other.notices
        if one.pattern is None:
            continue
        np.testing.assert_array_equal(one.pattern.intensity, other.pattern.intensity)
        np.testing.assert_array_equal(one.pattern.sigma, other.pattern.sigma)
        values, others = values_from_tracked(one.tracked), values_from_tracked(other.tracked)
        for path, value in values.items():
            np.testing.assert_array_equal(value, others[path], err_msg=path)


def test_without_the_memory_it_would_not_be_the_same(whole):
    rest = analysed(Analyser(RECIPE), FRAMES[4:])
    assert rest[0].pattern is None or not np.array_equal(
        rest[0].pattern.intensity, whole[4].pattern.intensity, equal_nan=True
    )
