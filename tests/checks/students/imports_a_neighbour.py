from right_linear import backward as backward
from right_linear import cases as cases
from right_linear import forward as forward
