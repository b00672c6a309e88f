"""The cases of the operations, one file for each file in `ops/`, of the same stem."""
