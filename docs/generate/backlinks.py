"""The way back from a module's source to the reference.

Sphinx takes one prefix for all names of a module: that of the name which it met last. Ours has two, `minitorch_cv.ops`
for the public operations and their own module for those that these record. So the links are looked up once more.
"""

from __future__ import annotations

import re
from typing import Any

LINK = re.compile(r'(class="viewcode-back" href="[^"#]+#)([\w.]+)"')


def mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """On a page of source, each link back gets the name under which the reference has the object."""
    if not page.startswith("_modules/") or "body" not in context:
        return
    objects = app.env.domains["py"].objects

    def mended(link: re.Match) -> str:
        if link[2] in objects:
            return link[0]
        # The longest ending that fits: `Class.method` before `method`.
        parts = link[2].split(".")
        for i in range(1, len(parts)):
            ending = "." + ".".join(parts[i:])
            fitting = [name for name in objects if name.endswith(ending) and name.startswith("minitorch_cv.")]
            if len(fitting) == 1:
                return f'{link[1]}{fitting[0]}"'
        return link[0]

    context["body"] = LINK.sub(mended, context["body"])
