"""Shapes and types of the whole package are checked at run time in every test (jaxtyping + beartype).

Hypothesis draws the same examples at every run, so that a failure is about the change at hand; `make test-slow` draws
new ones.
"""

from hypothesis import settings
from jaxtyping import install_import_hook

# The numeric tower: an int is welcome where a float is asked for, as type checkers have it.
install_import_hook("aninfonce", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

settings.register_profile("same", derandomize=True)
settings.load_profile("same")
