"""The JSON schema of the configuration, for editors: ``python -m ringwatch_daemon.settings_schema``."""

import json
import sys

from ringwatch_daemon.settings import Settings


def schema_text() -> str:
    """The schema as it stands in ``config/schema.json``."""
    return json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
