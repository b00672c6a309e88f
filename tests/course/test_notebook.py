"""A notebook as a script: its code, with what only IPython understands as comments."""

import json

import pytest

from minitorch_cv.course.notebook import notebook_to_script


def notebook(*sources, kind="code"):
    return json.dumps({"nbformat": 4, "cells": [{"cell_type": kind, "source": source} for source in sources]})


def script(source):
    """What becomes of one cell."""
    text = notebook_to_script(notebook(source))
    assert text.startswith("# %% cell 1\n")
    return text.removeprefix("# %% cell 1\n").removesuffix("\n")


def test_code_cells_in_their_order():
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "outputs": [{"text": "z = 3"}]},
        {"cell_type": "raw", "source": "raw"},
        {"cell_type": "code", "source": "print(x)"},
    ]
    text = notebook_to_script(json.dumps({"cells": cells}))
    assert text == "# %% cell 2\nx = 1\ny = 2\n\n# %% cell 4\nprint(x)\n"


@pytest.mark.parametrize(
    "line", ["%matplotlib inline", "!pip install numpy 'a", "!!ls", "?np.sum", "np.sum?", "np.sum??", "files = !ls"]
)
def test_lines_of_ipython_become_comments(line):
    assert script(f"a = 1\n{line}\nb = 2") == f"a = 1\n# {line}\nb = 2"
    assert script(f"if a:\n    {line}\n") == f"if a:\n    pass  # {line}\n"


@pytest.mark.parametrize(
    "source",
    [
        "x = (a\n     %b)",
        "x = a \\\n%b",
        'text = """\n%matplotlib inline\n!ls\n"""',
        "text = '''\n\\'''\n!ls\n'''",
        "x = a %b  # (\ny = 'it\\'s ('\nz = x != y",
        "text = 'a\\\n!ls'",
        "text = 'a\x0c\u2028!ls'",
        "# what?\nif a != b:\n    pass",
    ],
)
def test_python_is_left_alone(source):
    compile(source, "cell", "exec")
    assert script(source) == source


def test_a_quote_left_open_ends_with_its_line():
    assert script("x = 'a\n%magic") == "x = 'a\n# %magic"


def test_cells_of_another_language():
    assert script("%%bash\nls\npwd") == "# %%bash\n# ls\n# pwd"
    assert script("\n%%writefile a.py\nx = 1") == "# \n# %%writefile a.py\n# x = 1"
    assert script("%%time\nx = 1") == "# %%time\nx = 1"


def test_an_empty_notebook():
    assert notebook_to_script('{"cells": []}') == ""
    assert script("") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "expects JSON"),
        ('{"a":' * 100_000, "expects JSON"),
        ("[]", "expects a list of cells"),
        ('{"worksheets": []}', "version 4"),
        ('{"cells": {"a": 1}}', "expects a list of cells"),
        (notebook({"a": 1}), "cell 1 expects text"),
        (notebook(["a", 3]), "cell 1 expects text"),
    ],
)
def test_what_is_no_notebook_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        notebook_to_script(text)


def test_huge_numbers_take_no_time():
    assert notebook_to_script('{"nbformat": ' + "9" * 500_000 + ', "cells": []}') == ""
