"""Cells, symmetry, structure factors: from what a phase is to the reflections that it can show."""
