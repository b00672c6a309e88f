"""The ideas of kernels/cuda in Numba CUDA, for reading and learning: Python on a GPU, or on the simulator."""
