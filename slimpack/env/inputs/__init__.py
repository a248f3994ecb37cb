"""What users hand over: telling it apart, and reading specifications."""
