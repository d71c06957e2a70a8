"""Two hosts with an app for an operator to work with, and another app beside it."""
