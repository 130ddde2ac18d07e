"""The ringwatch service: frames in, results out."""
