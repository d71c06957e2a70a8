"""Two hosts with three apps: two share a server name, one has its own name and port."""
