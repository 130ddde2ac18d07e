import io
import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest
from PIL import Image

from ringwatch_daemon.sources.codecs import decompress
from ringwatch_daemon.sources.refusals import FrameRefusedError

FUZZ = """
import sys
import numpy as np
sys.path[:0] = {path!r}
from test_codecs import packed
from ringwatch_daemon.sources.codecs import decompress
from ringwatch_daemon.sources.refusals import FrameRefusedError
rng = np.random.default_rng(3)
image = rng.poisson(30, 3000).astype(np.uint16)
refused = 0
for codec in ("blosc", "lz4", "bslz4", "jpeg"):
    whole = packed(codec, image.astype(np.uint8) if codec == "jpeg" else image)
    dtype = np.dtype("uint8" if codec == "jpeg" else "uint16")
    for turn in range(150):
        spoiled = bytearray(whole if turn % 3 else rng.bytes(len(whole)))
        for place in rng.integers(0, len(spoiled), 1 + turn % 8):
            spoiled[place] = rng.integers(256)
        if turn % 5 == 0:
            del spoiled[int(rng.integers(len(spoiled))):]
        try:
            assert decompress(codec, bytes(spoiled), dtype=dtype, pixels=3000).size == 3000
        except FrameRefusedError:
            refused += 1
print(refused)
"""


def packed(codec: str, image: np.ndarray) -> bytes:
    """The bytes as NDPluginCodec writes them: without the header of the HDF5 filter."""
    if codec == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(image.reshape(1, -1)).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()
    options = {
        "blosc": hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.BITSHUFFLE),
        "lz4": hdf5plugin.LZ4(nbytes=image.nbytes),
        "bslz4": hdf5plugin.Bitshuffle(cname="lz4"),
    }[codec]
    with h5py.File(f"{codec}.h5", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("image", data=image, chunks=image.shape, **options)
        skipped_filters, chunk = dataset.id.read_direct_chunk((0,))
    assert skipped_filters == 0
    return bytes(chunk)[{"blosc": 0, "lz4": 16, "bslz4": 12}[codec] :]


@pytest.mark.parametrize("codec", ["blosc", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("pixels", [4096, 5000, 5003, 1003])
def test_a_packed_frame_comes_back(codec: str, dtype: str, pixels: int):
    image = np.random.default_rng(1).poisson(0.5, pixels).astype(dtype)
    unpacked = decompress(codec, packed(codec, image), dtype=image.dtype, pixels=pixels)
    np.testing.assert_array_equal(unpacked, image)
    assert unpacked.dtype == image.dtype


def test_a_jpeg_comes_back_as_well_as_a_jpeg_can():
    image = np.linspace(0, 255, 512).astype(np.uint8)
    unpacked = decompress("jpeg", packed("jpeg", image), dtype=image.dtype, pixels=512)
    assert np.abs(unpacked.astype(int) - image).max() <= 8


def test_an_unknown_codec_is_named():
    with pytest.raises(FrameRefusedError, match="zip9"):
        decompress("zip9", b"1234", dtype=np.dtype("uint16"), pixels=2)


def test_spoiled_bytes_are_refused_or_decoded_but_never_end_the_process():
    path = [str(__import__("pathlib").Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-c", FUZZ.format(path=path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 200
