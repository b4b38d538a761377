"""Shapes and types of the whole package are checked at run time in every test (jaxtyping + beartype)."""

from jaxtyping import install_import_hook

# The numeric tower: an int is welcome where a float is asked for, as type checkers have it.
install_import_hook("aninfonce", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
