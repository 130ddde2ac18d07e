"""The pattern of an empty cell, from columns of text or from a run's own file."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.image_files import HDF5_SUFFIXES
from ringwatch_daemon.sources.scan_files import read_scans

FloatArray = NDArray[np.float64]

_FEWEST_POINTS = 8


def background_from_file(file: Path) -> tuple[FloatArray, FloatArray]:
    """Angles in degree of 2theta, ascending, and intensities.

    Parameters
    ----------
    file
        A scan (``.xy``, ``.xye``, ``.chi``, ``.dat``, ``.xrdml``), or the HDF5 file of a run: the mean of its patterns.

    Raises
    ------
    InputFileError
        It cannot be read, or holds no pattern.
    """
    try:
        read = _from_run if file.suffix.lower() in HDF5_SUFFIXES else _from_scan
        angle, intensity = read(file)
    except OSError as error:
        raise InputFileError(
            f"expected the pattern of a background in {file}, but it cannot be read: {error}"
        ) from error
    known = np.isfinite(angle) & np.isfinite(intensity)
    angle, intensity = angle[known], intensity[known]
    if angle.size < _FEWEST_POINTS or not np.all(np.diff(angle) > 0.0):
        raise InputFileError(
            f"expected at least {_FEWEST_POINTS} finite points of ascending angle in {file}, got {angle.size}"
        )
    return angle, intensity


def _from_scan(file: Path) -> tuple[FloatArray, FloatArray]:
    scans = read_scans(file)
    if len(scans) != 1:
        raise InputFileError(f"expected one scan as a background in {file}, got {len(scans)}")
    return scans[0].two_theta_deg, scans[0].intensity


def _from_run(file: Path) -> tuple[FloatArray, FloatArray]:
    with h5py.File(file, "r") as opened:
        angle, patterns = opened.get("entry/azint1d/radial_axis"), opened.get("entry/azint1d/I")
        if not isinstance(angle, h5py.Dataset) or not isinstance(patterns, h5py.Dataset):
            raise InputFileError(f"expected a run with patterns in {file}, got an HDF5 file without entry/azint1d")
        return np.asarray(angle[()], dtype=np.float64), _mean_of_rows(patterns)


def _mean_of_rows(patterns: h5py.Dataset) -> FloatArray:
    """(bins,) mean over the frames that have a pattern; NaN in a bin that is empty in all of them."""
    total, count = np.zeros(patterns.shape[1]), np.zeros(patterns.shape[1])
    for row in range(patterns.shape[0]):
        values = np.asarray(patterns[row], dtype=np.float64)
        known = np.isfinite(values)
        total += np.where(known, values, 0.0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
