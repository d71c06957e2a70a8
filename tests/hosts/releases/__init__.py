"""Two hosts with an app whose answers name their release."""
