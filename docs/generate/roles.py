"""The role `source`: a link to the page on which Sphinx shows a module's code."""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxRole
from sphinx.util.osutil import relative_uri


class Source(SphinxRole):
    """``:source:`minitorch_cv/ops/_conv2d.py` `` leads to that module's code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        here = self.env.docname + ".html"
        there = f"_modules/{self.text.removesuffix('.py').removesuffix('/__init__')}.html"
        link = nodes.reference("", "", nodes.literal(self.text, self.text), refuri=relative_uri(here, there))
        return [link], []
