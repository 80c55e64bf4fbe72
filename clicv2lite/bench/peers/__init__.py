"""This package beside others that do the same work: `clicv2lite bench --peers`."""
