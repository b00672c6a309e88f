"""The exercises, one file each; `minitorch_cv.course.exercise` says how such a file is made up."""
