"""Two hosts with an app that has workers and timers, and another app beside it."""
