"""Bodies of operations on CUDA: a `.cu` file of kernels and, of the same stem, the Python file that launches them."""
