"""The process in which a student's code runs: NumPy and the standard library, and nothing else of this package.

`message.py` is the language that it and the judge speak; `__main__.py` is the process itself, started by its folder.
"""
