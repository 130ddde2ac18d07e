"""The beamline that somebody's configuration expects: their detector, their phases, their cycler."""
