"""Learn deep vision by deriving it: a from-scratch autograd engine on NumPy with custom CUDA kernels."""
