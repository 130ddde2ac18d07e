"""The figures, tables and the page of a finished or running run; reads files only."""
