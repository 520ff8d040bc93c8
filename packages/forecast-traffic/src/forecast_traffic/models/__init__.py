"""The models of task `graph`, one a file."""
