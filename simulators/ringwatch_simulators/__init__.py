"""A simulated beamline with known truth."""
