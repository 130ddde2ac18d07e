"""From counts to a pattern: corrections, the geometry, the folded integration, what a frame is worth."""
