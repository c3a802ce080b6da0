"""What must hold of rendered manifests, read from the objects themselves.

Every rule is a generator of sentences, one for each fault; no sentence is a pass. `broken.py` has a
manifest for each rule that the rule must refuse.
"""

from . import configuration, network, objects, pods, security

ALL = [
    *security.RULES,
    *pods.RULES,
    *objects.RULES,
    *configuration.RULES,
    *network.RULES,
]


def faults(manifests):
    """Every fault of one rendered set."""
    found = objects.Set(manifests)
    return [f"{rule.__name__}: {fault}" for rule in ALL for fault in applied(rule, found)]


def applied(rule, found):
    """What a rule tells; that a part is missing on which it rests is a fault as well."""
    try:
        yield from rule(found)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        yield f"{UNREADABLE}{error!r}"


UNREADABLE = "cannot be judged: "
