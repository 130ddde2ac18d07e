"""One frame to a pattern with sigma, against pyFAI's engines and against reading the frame once."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle

import numpy as np
from pyFAI.detectors import detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from benchmarks.measuring import Ratio, Report, Timing, medians
from ringwatch_pipelines.patterns import pattern_from_sums
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, Mask, VarianceModel
from ringwatch_pipelines.reduction.integration import Binning, build_operator, geometry_from_poni

BINS, THREADS, POLARIZATION, RANGE_DEG = 2048, 2, 0.99, (0.0, 10.0)
SATURATION = 65535.0
FRAMES = 8
"""Taken in turn, more than caches hold: a frame of a detector comes from memory."""
PONI = """Detector: Perkin
Detector_config: {"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 3}
Distance: 1.6
Poni1: 0.2055
Poni2: 0.2041
Rot1: 0.002
Rot2: -0.001
Wavelength: 1.173e-11
"""


class Work:
    """Full-size frames with everything that belongs to them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.geometry = geometry_from_poni(PONI, origin="the benchmark", shape=(2048, 2048))
        shape = self.geometry.shape
        self.dark = rng.normal(3700, 30, shape).astype(np.float32)
        light = rng.poisson(900.0, shape).astype(np.float32)
        rolled = (np.roll(light, 16 * number, axis=1) for number in range(FRAMES))
        self.frames = [(self.dark + each).astype(np.uint16) for each in rolled]
        self.mask = rng.random(shape) < 0.002
        self.mask[[0, -1]] = True

    def folded(self, splitting: str):
        """A frame to a pattern by the folded operator."""
        corrections = Corrections(
            mask=Mask(self.mask),
            polarization_factor=POLARIZATION,
            saturation_counts=SATURATION,
            variance=VarianceModel(gain=1.0),
        )
        operator = build_operator(
            geometry=self.geometry,
            corrections=corrections,
            binning=Binning(BINS, *RANGE_DEG, splitting),
            threads=THREADS,
        )
        dark, frames = operator.dark_sums(Dark(self.dark)), cycle(self.frames)

        def task():
            return pattern_from_sums(sums=operator.integrate(next(frames), dark=dark).sums, axis=operator.axis)

        return task

    def pyfai(self, splitting: str, engine: str):
        """The same by pyFAI."""
        geometry = self.geometry
        integrator = AzimuthalIntegrator(
            geometry.distance_m,
            geometry.poni1_m,
            geometry.poni2_m,
            geometry.rot1_rad,
            geometry.rot2_rad,
            detector=detector_factory(geometry.detector, json.loads(geometry.detector_config)),
            wavelength=geometry.wavelength_m,
        )
        integrate = partial(
            integrator.integrate1d_ng,
            npt=BINS,
            unit="2th_deg",
            radial_range=RANGE_DEG,
            method=(splitting, engine, "cython"),
            mask=self.mask,
            dark=self.dark,
            polarization_factor=POLARIZATION,
        )
        frames = cycle([(frame, frame - self.dark) for frame in self.frames])

        def task():
            frame, variance = next(frames)
            return integrate(frame, variance=variance)

        return task

    def reading(self):
        """A frame's sum, by as many threads."""
        pool = ThreadPoolExecutor(THREADS)
        frames = cycle([np.array_split(frame, THREADS) for frame in self.frames])
        return lambda: sum(pool.map(partial(np.sum, dtype=np.uint64), next(frames)))


def require_same_result(mine, reference) -> None:
    """A ratio of speeds means nothing between different results."""
    filled = reference.count > 0
    np.testing.assert_allclose(mine.intensity[filled], reference.intensity[filled], rtol=2e-5)
    np.testing.assert_allclose(mine.sigma[filled], reference.sigma[filled], rtol=2e-5)


def measure(rounds: int) -> Report:
    """Time everything in one run."""
    work = Work()
    tasks = {
        "pyFAI CSR, no splitting": work.pyfai("no", "csr"),
        "pyFAI histogram, no splitting": work.pyfai("no", "histogram"),
        "pyFAI CSR, bounding boxes": work.pyfai("bbox", "csr"),
        "ringwatch, no splitting": work.folded("none"),
        "ringwatch, bounding boxes": work.folded("bbox"),
        "reading the frame once": work.reading(),
    }
    require_same_result(tasks["ringwatch, no splitting"](), tasks["pyFAI CSR, no splitting"]())
    require_same_result(tasks["ringwatch, bounding boxes"](), tasks["pyFAI CSR, bounding boxes"]())
    found = medians(tasks, rounds=rounds)
    title = (
        f"2048 x 2048 uint16 with dark, mask, solid angle, polarisation and sigma into {BINS} bins, {THREADS} threads"
    )
    return Report(title, tuple(found.values()), _ratios(found))


def _ratios(found: dict[str, Timing]) -> tuple[Ratio, ...]:
    """Of the fastest calls: what else the machine does only ever adds, and adds more to the short ones."""
    mine, split, reading, boxes = (
        found[name].undisturbed_s
        for name in (
            "ringwatch, no splitting",
            "ringwatch, bounding boxes",
            "reading the frame once",
            "pyFAI CSR, bounding boxes",
        )
    )
    same = min(found[f"pyFAI {engine}, no splitting"].undisturbed_s for engine in ("CSR", "histogram"))
    return (
        Ratio("no splitting: times faster than pyFAI's fastest of the same result", same / mine, at_least=20.0),
        Ratio("bounding boxes: times faster than pyFAI's CSR", boxes / split, at_least=10.0),
        Ratio("no splitting: times as long as reading the frame once", mine / reading, at_most=1.5),
    )
