"""What the project needs of the machine: found, judged, and installed on request."""
