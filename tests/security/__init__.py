"""What an attacker gets: nothing. Apps on a host of each Debian release are asked from outside."""
