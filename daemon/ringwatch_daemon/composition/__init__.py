"""From the settings to the parts of a run; `app` puts them together."""
