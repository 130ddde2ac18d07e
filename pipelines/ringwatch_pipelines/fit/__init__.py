"""The fit of one whole pattern: its layout, its derivatives, its least squares, its covariance."""
