"""A simulated beamline with known truth.

It shares no code with the programs it tests: geometry, structure factors, profiles and the layout of
messages are written a second time, so that a mistake cannot hide by being made on both sides.

- What is true: `crystals`, `cell_model`, `radial_profile`, `detector_geometry`, `detector_response`, `detector_maps`,
  `frame_renderer`, `scenario_catalogue`, `scenario`.
- What was recorded: `recorded`, `tiff_tags`.
- What is served: `supply` (frames by number), `prefetch`, `detector` (acquires), `camera`, `database` and
  `records` (EPICS records), `readout` (PVA and Channel Access), `cycler`, `faults`, `outage`.
- One process: `detector_ioc`, started by ``python -m ringwatch_simulators ioc``.
"""
