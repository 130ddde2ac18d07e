import pytest

from ringwatch_daemon.composition.frame_sources import live_source
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings import Settings

FILES = {"geometry": {"poni": "a.poni"}, "detector": {"protocol": "files"}}


def test_files_that_nobody_named_cannot_be_followed():
    """They are no mistake of the configuration: `reprocess` is given its frames by the command."""
    with pytest.raises(SettingsError, match=r"files\.paths names none"):
        live_source(Settings.model_validate(FILES))
