"""Faster bodies of the operations, by device; what there is stands in `manifest`."""
