"""What was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 15


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, if one is like it at all."""
    import difflib  # costly, and needed for a fault alone

    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower()[:200], by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the one that was probably meant, or else what there is."""
    names = list(dict.fromkeys(known))
    if found := nearest(name, names):
        return f"did you mean `{found}`?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:_SHOWN])
    return f"known: {shown}" + (", ..." if len(names) > _SHOWN else "")
