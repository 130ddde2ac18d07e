"""The live view as a page in a browser, fed by the stream and by nothing else."""
