"""Options of the fit that need more than a number: an internal standard, a measured background."""

import math

from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings import FitSettings
from ringwatch_daemon.sources.background_patterns import background_from_file
from ringwatch_pipelines.fit.displacement import Displacement
from ringwatch_pipelines.fit.fit_recipe import ReferenceBackground
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.reduction.geometry import Geometry


def displacement_from_settings(fit: FitSettings, geometry: Geometry) -> Displacement | None:
    """What to refine where an internal standard is named; the distance is that along the beam."""
    if fit.standard is None:
        return None
    along_beam_m = geometry.distance_m / (math.cos(geometry.rot1_rad) * math.cos(geometry.rot2_rad))
    return Displacement(distance_m=along_beam_m, sigma_mm=fit.displacement_sigma_mm)


def background_from_settings(fit: FitSettings, two_theta_range_deg: tuple[float, float]) -> ReferenceBackground | None:
    """The measured background, which must cover the range of the fit.

    Raises
    ------
    RingwatchError
        It cannot be read, or ends within the range.
    """
    if fit.background_file is None:
        return None
    angle, intensity = background_from_file(fit.background_file)
    low, high = two_theta_range_deg
    step = (angle[-1] - angle[0]) / (angle.size - 1)
    if angle[0] > low + step or angle[-1] < high - step:
        raise SettingsError(
            f"fit.background_file must cover the range of the fit, {low:g} to {high:g} degree, got {angle[0]:g} to "
            f"{angle[-1]:g} from {fit.background_file}"
        )
    return ReferenceBackground(two_theta_deg=read_only(angle), intensity=read_only(intensity))
