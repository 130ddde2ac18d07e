"""From frames of a calibrant and pairs of frames: geometry, width of the instrument, gain and read noise."""
