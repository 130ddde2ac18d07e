import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_daemon.sources.wire_arrays import image_from_pixels, pixels_from_wire


@given(st.lists(st.integers(0, 65535), min_size=1), st.sampled_from(["int16", "int32", "float64"]))
def test_unsigned_counts_come_back_from_every_wire_type(counts: list[int], wire_type: str):
    sent = np.array(counts, dtype=np.uint16)
    wire = sent.view(np.int16) if wire_type == "int16" else sent.astype(wire_type)
    received = pixels_from_wire(wire, "UInt16")
    assert received.dtype == np.uint16
    np.testing.assert_array_equal(received, sent)


@pytest.mark.parametrize(("wire_type", "data_type"), [("int16", "UInt32"), ("int16", "Float32"), ("int32", "Float32")])
def test_a_waveform_that_cannot_have_carried_the_type_is_refused(wire_type: str, data_type: str):
    with pytest.raises(FrameRefusedError, match="FTVL") as refused:
        pixels_from_wire(np.zeros(4, wire_type), data_type)
    assert refused.value.reason is Reason.WRONG_TYPE


def test_an_unknown_data_type_is_refused():
    with pytest.raises(FrameRefusedError, match="Quaternion"):
        pixels_from_wire(np.zeros(4, np.int16), "Quaternion")


def test_the_first_size_is_the_number_of_columns():
    image = image_from_pixels(np.arange(6), sizes=(3, 2, 0), colour_mode="Mono")
    assert image.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not image.flags.writeable


@pytest.mark.parametrize(
    ("sizes", "colour_mode"), [((3, 2, 0), "RGB1"), ((3, 2, 2), "Mono"), ((6, 0, 0), ""), ((4, 2, 0), ""), ((0, 0), "")]
)
def test_what_is_no_whole_grey_image_is_refused(sizes: tuple[int, ...], colour_mode: str):
    with pytest.raises(FrameRefusedError) as refused:
        image_from_pixels(np.arange(6), sizes=sizes, colour_mode=colour_mode)
    assert refused.value.reason is Reason.WRONG_SHAPE
