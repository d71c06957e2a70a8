"""What the role decides on the control node, before it changes anything on a host."""
