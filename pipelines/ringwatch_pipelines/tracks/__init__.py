"""What is followed over the frames of a run: phases, peaks, texture, onsets."""
