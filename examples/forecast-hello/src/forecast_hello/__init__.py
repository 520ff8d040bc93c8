"""A plugin to copy: `hello/mean` for task `series`, and the task `sky` with models of its own."""
