"""The process in which a student's code runs: NumPy and the standard library, for kernels the simulator, and nothing
else of this package.

`message.py` is the language that it and the judge speak; `kernel_file.py` launches kernels; `__main__.py` is the
process itself, started by its folder.
"""
