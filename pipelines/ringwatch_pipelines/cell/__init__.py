"""What the cycler did, on the clock of the frames, and what the cell suffered."""
