"""Other expressions in the place of names, each meaning what it means where it comes from."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.scope import free_variables


def substitute(node: Node, names: Mapping[str, Node]) -> Node:
    """The expression with each free name replaced by the node given for it."""
    names = {name: names[name] for name in free_variables(node) & names.keys()}
    if not names:
        return node
    match node:
        case nodes.Ident(name=name):
            return names[name]
        case nodes.Macro():
            variables, inner = _fresh(node.variables, names)
            target = substitute(node.target, names)
            bodies = tuple(substitute(body, inner) for body in node.bodies)
            return replace(node, target=target, variables=variables, bodies=bodies)
        case nodes.Bind():
            (name,), inner = _fresh((node.name,), names)
            return replace(node, name=name, value=substitute(node.value, names), body=substitute(node.body, inner))
    return nodes.rebuilt(node, lambda child: substitute(child, names))


def _fresh(variables: tuple[str, ...], names: Mapping[str, Node]) -> tuple[tuple[str, ...], dict[str, Node]]:
    """Variables of a macro renamed where they would hide what a replacement means, by names that nobody can write."""
    inner = {name: node for name, node in names.items() if name not in variables}
    meant = {free for node in inner.values() for free in free_variables(node)}
    renamed = {}
    for variable in variables:
        new = variable
        while new in meant:
            new += "'"
        renamed[variable] = new
        if new != variable:
            inner[variable] = nodes.Ident(new)
    return tuple(renamed.values()), inner
