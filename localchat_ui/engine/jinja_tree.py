"""What is changed in a template before it is compiled, so that it can be counted what it does."""

# Names are those that Jinja's visitors look for.
# ruff: noqa: N802

from __future__ import annotations

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

# Variables in one sum; longer ones are weighed at every step.
MOST_ADDED = 16


class GenerationTag(Extension):
    """`{% generation %}` marks for training what an assistant said, and means nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Counted(NodeTransformer):
    """Lets every turn of a loop be counted, and everything be weighed that an expression makes and something keeps."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(nodes.EnvironmentAttribute("tick")))
        if node.test is not None:
            node.test = nodes.And(nodes.Not(nodes.EnvironmentAttribute("tick")), node.test)
        return node

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.node, (nodes.Const, nodes.Call, nodes.Name)):
            node.node = _call("weighed", node.node)
        return node

    def visit_With(self, node: nodes.With) -> nodes.Node:
        self.generic_visit(node)
        node.values = [_call("weighed", value) for value in node.values]
        return node

    def visit_Add(self, node: nodes.Add) -> nodes.Node:
        self.generic_visit(node)
        n_parts = sum(1 for _ in node.find_all((nodes.Name, nodes.EnvironmentAttribute)))
        return _call("added", node.left, node.right) if n_parts > MOST_ADDED else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("joined", *node.nodes)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return self._literal(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return self._literal(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._literal(node) if node.ctx == "load" else node

    def _literal(self, node: nodes.Literal) -> nodes.Node:
        self.generic_visit(node)
        return _call("weighed", node) if node.items else node  # type: ignore[attr-defined]


def _call(name: str, *arguments: nodes.Node) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None)
