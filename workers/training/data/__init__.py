"""Data sets and where batches come from."""
