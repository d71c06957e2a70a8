"""A module that is found by the search path while the app is long running."""  # noqa: INP001 - on the search path by itself

MARK = "__MARK__"
