"""What comes out of a calibration: files to paste, to keep and to look at."""
