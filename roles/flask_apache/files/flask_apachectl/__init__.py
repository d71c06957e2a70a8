"""Release engine of flask_apache: which release is live, and how another one goes live unnoticed by visitors."""
