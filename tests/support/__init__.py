"""What the tests stand on: the virtual environment, Docker, images, hosts, playbook runs."""
