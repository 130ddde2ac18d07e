"""The stages of a run and the threads that carry them."""
