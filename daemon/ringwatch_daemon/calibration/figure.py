"""One page to look at: where the rings lie, and how wide they are."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ringwatch_daemon.calibration.outcome import CalibrationOutcome
from ringwatch_pipelines.calibration.instrument_width import fwhm_curve

_DATA, _MODEL, _PALE = "#1f4e79", "#c0392b", "#9aa5b1"


def write_figure(outcome: CalibrationOutcome, path: Path) -> None:
    """Residuals against azimuth and angle, widths against angle, and photon transfer or the pattern."""
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    panels = figure.subplots(2, 2)
    _residual_by_azimuth(panels[0, 0], outcome)
    _residual_by_line(panels[0, 1], outcome)
    _widths(panels[1, 0], outcome)
    if outcome.transfer.signal_counts.size:
        _photon_transfer(panels[1, 1], outcome)
    else:
        _pattern(panels[1, 1], outcome)
    figure.suptitle(f"{outcome.calibrant.name}, {outcome.made_utc}", fontsize=11)
    figure.savefig(path, dpi=150)


def _residual_by_azimuth(axes: Axes, outcome: CalibrationOutcome) -> None:
    fit = outcome.geometry.fit
    colours = axes.scatter(
        fit.azimuth_deg, 1e3 * fit.residual_deg, c=fit.two_theta_deg, s=7, cmap="viridis", linewidths=0
    )
    axes.figure.colorbar(colours, ax=axes, label=r"2$\theta$ / degree", pad=0.01)
    axes.axhline(0.0, color=_MODEL, linewidth=0.8)
    axes.set(xlabel="azimuth / degree", ylabel="measured - Bragg / millidegree", xlim=(0, 360))
    axes.set_xticks(range(0, 361, 60))
    axes.set_title(f"residual rms {1e3 * fit.rms_deg:.3f} millidegree, {fit.used.size} places", fontsize=9)
    _frame_most(axes, 1e3 * fit.residual_deg)


def _residual_by_line(axes: Axes, outcome: CalibrationOutcome) -> None:
    fit, line = outcome.geometry.fit, outcome.geometry.positions.line
    for index in np.unique(line):
        mine = line == index
        place, middle = fit.two_theta_deg[mine].mean(), 1e3 * float(np.median(fit.residual_deg[mine]))
        low, high = 1e3 * np.percentile(fit.residual_deg[mine], [16, 84])
        axes.plot([place, place], [low, high], color=_PALE, linewidth=2.0)
        axes.plot(place, middle, "o", color=_DATA, markersize=4)
    axes.axhline(0.0, color=_MODEL, linewidth=0.8)
    axes.set(xlabel=r"2$\theta$ / degree", ylabel="measured - Bragg / millidegree")
    axes.set_title("each ring: median over the azimuth, and 68 % of the sectors", fontsize=9)


def _widths(axes: Axes, outcome: CalibrationOutcome) -> None:
    width = outcome.width
    axes.set(xlabel=r"2$\theta$ / degree", ylabel="FWHM / millidegree")
    if width.profile is None:
        axes.set_title(width.text, fontsize=9)
        return
    axes.errorbar(
        width.two_theta_deg, 1e3 * width.fwhm_deg, 1e3 * width.fwhm_sigma_deg,
        fmt="o", color=_DATA, markersize=4, elinewidth=1.0, label="each line by itself",
    )  # fmt: skip
    angle = np.linspace(width.two_theta_deg[0], width.two_theta_deg[-1], 200)
    curve = 1e3 * fwhm_curve(width.profile)(angle)
    axes.plot(angle, curve, color=_MODEL, linewidth=1.2, label="instrument")
    axes.set_ylim(0.0, 1.35 * float(curve.max()))
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title(f"{width.text}; bin width not contained", fontsize=9)


def _photon_transfer(axes: Axes, outcome: CalibrationOutcome) -> None:
    transfer = outcome.transfer
    axes.errorbar(
        transfer.signal_counts, transfer.variance, transfer.variance_sigma,
        fmt="o", color=_DATA, markersize=4, elinewidth=1.0,
    )  # fmt: skip
    signal = np.array([0.0, float(transfer.signal_counts.max())])
    ground = np.nan_to_num(transfer.read_noise_counts) ** 2
    axes.plot(signal, ground + transfer.gain * signal, color=_MODEL, linewidth=1.2)
    axes.set(xlabel="signal / counts a pixel", ylabel=r"variance in superpixels / counts$^2$ a pixel")
    axes.set_title(f"gain {transfer.gain:.4g} $\\pm$ {transfer.gain_sigma:.2g} (line: without blur)", fontsize=9)


def _pattern(axes: Axes, outcome: CalibrationOutcome) -> None:
    pattern = outcome.pattern
    axes.plot(pattern.two_theta_deg, pattern.intensity, color=_DATA, linewidth=0.7)
    for line in outcome.geometry.lines_two_theta_deg:
        axes.axvline(float(line), ymax=0.03, color=_MODEL, linewidth=0.8)
    lines = outcome.geometry.lines_two_theta_deg
    axes.set_xlim(0.8 * float(lines[0]), 1.05 * float(np.max(outcome.geometry.fit.two_theta_deg)))
    positive = pattern.intensity[np.isfinite(pattern.intensity) & (pattern.intensity > 0)]
    if positive.size:
        axes.set_yscale("log")
        axes.set_ylim(0.7 * float(np.percentile(positive, 2)), 1.5 * float(positive.max()))
    axes.set(xlabel=r"2$\theta$ / degree", ylabel="intensity / counts")
    axes.set_title("pattern in the refined geometry; ticks: Bragg angles", fontsize=9)


def _frame_most(axes: Axes, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Limits that a few places far off do not decide."""
    reach = 1.5 * float(np.percentile(np.abs(values), 99))
    axes.set_ylim(-reach, reach)
