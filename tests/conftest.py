"""Shapes and types of the whole package are checked at run time in every test (jaxtyping + beartype)."""

from jaxtyping import install_import_hook

install_import_hook("aninfonce", "beartype.beartype")
