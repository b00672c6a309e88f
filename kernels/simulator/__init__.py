"""Runs CUDA kernels on a processor, without a GPU, and finds their mistakes."""
