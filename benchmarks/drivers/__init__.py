"""A file for each engine: how it is loaded and asked. What is measured is the same for all, in `common`."""
