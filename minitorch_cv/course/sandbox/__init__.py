"""The sandbox in which a student's code runs while hand-ins are graded.

A `Sandbox` starts a script of ours as a `Process`; requests go in and arrays come back, which are judged outside. Its
`Ending` says why it is over, in a sentence for the student and one for the teacher.
"""

from .endings import Ended, Ending, explain
from .launch import Unavailable
from .limits import Limits
from .process import Process
from .sandbox import Sandbox, Strength

__all__ = ["Sandbox", "Strength", "Unavailable", "Limits", "Process", "Ended", "Ending", "explain"]
