"""Faster bodies on a processor: kernels in Python, compiled by LLVM through Numba, in every core at once."""
