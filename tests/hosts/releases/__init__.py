"""Two hosts with an app whose every answer says which release it is of."""
