"""A part of the app with a mark of its own."""

MARK = "__MARK__"
