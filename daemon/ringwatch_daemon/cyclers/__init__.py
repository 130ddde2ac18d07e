"""Where the state of the cell comes from."""
