"""Several cells that go on from a checkpoint have, each, what they would have had without the cut."""

from dataclasses import replace

import numpy as np
import pytest

from fakes.quarter_rings import TRUTH, dark, light
from fakes.remembered_analysis import RECIPE, analysed
from ringwatch_daemon.core.columns import values_from_tracked
from ringwatch_daemon.core.records import Checkpoint
from ringwatch_daemon.sinks.checkpoint_codec import decode_checkpoint, encode_checkpoint, images_of_checkpoint
from ringwatch_pipelines.several_cells import SeveralCells

CELLS = {"fresh": RECIPE, "aged": RECIPE, "never in the beam": RECIPE}
TRUTHS = {"fresh": TRUTH, "aged": replace(TRUTH, a=TRUTH.a * 0.9992)}
TURNS = ["fresh", "aged", "aged", "fresh", "fresh", "aged"]
FRAMES = [dark(1), dark(2), *(light(n, cell=name, truth=TRUTHS[name]) for n, name in enumerate(TURNS, start=3))]


@pytest.fixture(scope="module")
def whole():
    return analysed(SeveralCells(CELLS), FRAMES)


@pytest.mark.parametrize("cut", [3, 5])
def test_wherever_it_is_cut_the_rest_is_the_same_for_every_cell(whole, cut):
    several = SeveralCells(CELLS)
    analysed(several, FRAMES[:cut])
    data, images = encode_checkpoint(cut - 1, Checkpoint(several.memory(), ("flagged",)))
    assert images_of_checkpoint(data) == frozenset(images)
    row, checkpoint = decode_checkpoint(data, images.__getitem__)
    assert (row, checkpoint.flags) == (cut - 1, ("flagged",))
    other = SeveralCells(CELLS)
    other.recall(checkpoint.memory)
    for one, again in zip(whole[cut:], analysed(other, FRAMES[cut:]), strict=True):
        assert (one.dark_index, one.notices) == (again.dark_index, again.notices)
        if one.pattern is None:
            continue
        np.testing.assert_array_equal(one.pattern.intensity, again.pattern.intensity)
        others = values_from_tracked(again.tracked)
        for path, value in values_from_tracked(one.tracked).items():
            np.testing.assert_array_equal(value, others[path], err_msg=path)


def test_a_cell_that_waits_takes_little_of_a_checkpoint():
    several = SeveralCells(CELLS)
    analysed(several, FRAMES)
    of_all, images = encode_checkpoint(0, Checkpoint(several.memory(), ()))
    alone = SeveralCells({"fresh": RECIPE})
    analysed(alone, FRAMES[:4])
    of_one, images_of_one = encode_checkpoint(0, Checkpoint(alone.memory(), ()))
    assert len(images) == len(images_of_one)  # the darks are the detector's, and stand there once
    assert len(of_all) < 2.5 * len(of_one)  # for three cells, and the residual image is the detector's, too
