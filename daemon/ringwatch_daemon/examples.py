"""The example beamline that comes with ringwatch."""

import shutil
from pathlib import Path

from ringwatch_daemon.core.errors import SettingsError

CONFIGURATION = "beamline.toml"


def example_folder() -> Path:
    """Where the example lies: inside an installed package, or in ``config/`` of a checkout.

    Raises
    ------
    SettingsError
        It is in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "example", package.parents[1] / "config"):
        if (folder / CONFIGURATION).is_file():
            return folder
    raise SettingsError(f"expected the example beamline beside the package in {package}, found none")


def copy_example(directory: Path) -> tuple[Path, ...]:
    """Copy the example into a new or empty folder.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    SettingsError
        The folder holds something already, or cannot be written.
    """
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise SettingsError(f"expected a new or empty folder, but {directory} holds something already")
    sources = sorted(path for path in example_folder().iterdir() if path.is_file())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return tuple(Path(shutil.copy(path, directory / path.name)) for path in sources)
    except OSError as error:
        raise SettingsError(f"expected a folder that can be written in {directory}: {error.strerror}") from error
