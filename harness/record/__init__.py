"""What a run leaves on disk: versioned, schema-checked, atomic run files."""
