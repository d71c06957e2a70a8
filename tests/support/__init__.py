"""What the tests stand on: the virtual environment, Docker's engine, images, hosts, playbook runs."""
